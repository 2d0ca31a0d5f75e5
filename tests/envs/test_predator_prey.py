import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from particle_tools import make, put, random_moves, step

from core.errors import UserError
from envs.particle.predator_prey import PredatorPreyArgs
from training.options import resolve

FAR = [[1.9, 1.9], [1.9, 1.5], [1.9, 1.1], [1.9, 0.7]]


def duel(**env_args):
    """Two predators against two preys without obstacles: bodies 0, 1 and 2, 3."""
    return make("predator_prey", n_predators=2, n_preys=2, n_obstacles=0, **env_args)


# -- the world -------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**64 - 1))
@settings(deadline=None, max_examples=50)
def test_nobody_starts_within_another_and_obstacles_start_near_the_centre(seed):
    env = make("predator_prey", n_predators=4, n_preys=5)
    env.reset(np.array([0]), np.array([seed], np.uint64))
    pos, radius = env.positions[0], env.worlds.bodies[0]["radius"]
    gaps = np.linalg.norm(pos[:, None] - pos, axis=-1) + np.eye(11) * 9
    assert (gaps >= radius[:, None] + radius).all()
    assert np.abs(pos[9:]).max() <= 0.5
    assert (np.abs(pos[:9]).max(axis=1) + radius[:9] <= 2.5).all()
    assert not env.velocities.any()


@given(seed=st.integers(0, 2**32 - 1), ground=st.sampled_from([0.8, 2.5]), push=st.integers(0, 4))
@settings(deadline=None, max_examples=30)
def test_walls_are_never_crossed(seed, ground, push):
    env = make("predator_prey", 3, n_predators=4, n_preys=2, ground=ground, time_limit=80)
    generator = np.random.default_rng(seed)
    env.reset(np.arange(3), generator.integers(0, 2**63, 3).astype(np.uint64))
    active = np.ones(3, bool)
    while active.any():
        moves = random_moves(env, generator)
        moves[0] = np.where(generator.random((3, 4)) < 0.6, push, moves[0])
        out = env.step(moves, active)
        active &= ~(out.terminated | out.truncated)
        edge = np.abs(env.positions[:, :6]).max(-1) + env.worlds.bodies["radius"][:, :6]
        assert edge.max() <= ground + 1e-12


def test_a_body_at_a_wall_loses_its_velocity_into_it():
    env = duel()
    put(env, [[2.35, 0.0], *FAR[1:]], [[1.0, 0.5], [0, 0], [0, 0], [0, 0]])
    step(env, [2, 0])
    assert env.positions[0, 0].tolist() == pytest.approx([2.5 - 0.075, 0.05])
    assert env.velocities[0, 0, 0] == 0
    assert env.velocities[0, 0, 1] > 0.3


@pytest.mark.parametrize(("team", "touch"), [(0, 0.275), (1, 0.25)])
def test_obstacles_are_solid_for_both_teams(team, touch):
    env = make("predator_prey", n_predators=1, n_preys=1, n_obstacles=1)
    where = [[2.0, 2.0], [-2.0, 2.0], [0.0, 0.0]]
    where[team] = [-1.5, 0.02]
    put(env, where)
    moves = [[2], [0]] if team == 0 else [[0], [2]]
    nearest = [np.linalg.norm((step(env, *moves), env.positions[0, team])[1]) for _ in range(40)]
    assert min(nearest) == pytest.approx(touch)


def test_predators_and_preys_have_their_own_speeds():
    env = duel()
    for _ in range(30):
        put(env, [[0, 0], [0, 0.5], [0, 1], [0, 1.5]], env.velocities[0])
        step(env, [2, 0], [2, 0])
    speeds = np.linalg.norm(env.velocities[0], axis=-1)
    assert speeds[[0, 2]].tolist() == pytest.approx([1.0, 1.3])


# -- captures --------------------------------------------------------------------------------------------------------


def test_a_capture_by_hand():
    env = duel(capture_bonus=7.0, capture_penalty=3.0, distance_weight=2.0, centre_weight=0.5)
    put(env, [[0.0, 0.0], [1.0, 1.0], [0.12, 0.0], [0.0, -0.6]])
    out = step(env)
    predator, prey = out.teams
    chase = 0.6 + np.hypot(1.0, 1.6)  # both go for the one that lives
    assert predator.rewards[0, 0] == pytest.approx(7 - 2 * chase)
    assert prey.rewards[0, 0] == pytest.approx(2 * 0.6 - 0.5 * 0.6 - 3)
    assert not out.terminated[0]
    assert prey.available[0].tolist() == [[True] + [False] * 4, [True] * 5]
    assert predator.available.all()
    assert not prey.obs[0, 0].any()
    columns = env.args.columns("predator")
    assert predator.obs[0, 1, columns["living"]].tolist() == [0, 1]
    assert predator.obs[0, 1, columns["preys"]].tolist() == pytest.approx([0, 0, -1, -1.6])


def test_touching_alone_is_no_capture():
    env = duel()
    put(env, [[0.0, 0.0], [1.0, 1.0], [0.1251, 0.0], [0.0, -0.6]])
    assert step(env).teams[1].available.all()


def test_a_captured_prey_stays_out_and_touches_nobody():
    env = duel()
    put(env, [[0.0, 0.0], [1.0, 1.0], [0.12, 0.0], [1.9, -0.6]])
    step(env)
    where = env.positions[0, 2].copy()
    put(env, [[0.12, 0.0], *env.positions[0, 1:]])  # right upon it
    out = step(env, [0, 0], [2, 0])
    np.testing.assert_array_equal(env.positions[0, 2], where)
    np.testing.assert_array_equal(env.positions[0, 0], [0.12, 0.0])
    assert not env.velocities[0, :3].any()  # no contact pushed it
    chase = np.hypot(1.9 - 0.12, 0.6) + np.hypot(0.9, 1.6)
    assert out.teams[0].rewards[0, 0] == pytest.approx(-chase)  # no second bonus
    assert not out.teams[1].available[0, 0, 1:].any()


def test_two_predators_on_one_prey_capture_it_once():
    env = duel()
    put(env, [[0.0, 0.0], [0.24, 0.0], [0.12, 0.0], [1.9, 1.9]])
    out = step(env)
    assert out.teams[1].rewards[0, 0] == pytest.approx(np.hypot(1.66, 1.9) - 0.2 * np.hypot(1.9, 1.9) - 10)


def test_the_episode_terminates_with_the_last_capture_and_the_next_starts_anew():
    env = duel()
    put(env, [[0.0, 0.0], [1.0, 1.0], [0.1, 0.0], [1.1, 1.0]])
    out = step(env)
    assert (out.terminated[0], out.truncated[0]) == (True, False)
    assert out.teams[0].rewards[0, 0] == 20
    assert out.teams[1].rewards[0, 0] == -20
    assert {key: value[0] for key, value in out.info.items()} == {
        "captured": 2, "capture_rate": 1, "all_captured": 1, "collisions": 0,
    }  # fmt: skip
    assert out.teams[1].available.any(-1).all()
    out = env.reset(np.array([0]), np.array([5], np.uint64))
    assert out.teams[1].available.all()
    assert out.teams[1].obs.any(-1).all()
    assert env.worlds.bodies["movable"][0].all()


def test_the_last_step_terminates_rather_than_truncates():
    for distance, flags in ((0.1, (True, False)), (0.5, (False, True))):
        env = make("predator_prey", n_predators=1, n_preys=1, n_obstacles=0, time_limit=1)
        put(env, [[0.0, 0.0], [distance, 0.0]])
        out = step(env)
        assert (out.terminated[0], out.truncated[0]) == flags
        assert out.info["capture_rate"][0] == flags[0]


def test_collisions_are_pairs_of_one_team_that_overlap():
    env = duel(time_limit=1)
    put(env, [[0.0, 0.0], [0.1, 0.0], [1.0, 0.0], [1.0, 0.05]])
    assert step(env).info["collisions"][0] == 2


# -- what is shown and paid, against slow references -----------------------------------------------------------------


def slow_observation(env, k, team, i):
    """One agent's observation in plain Python."""
    args, pos, vel = env.args, env.positions[k], env.velocities[k]
    p, q, lives = args.n_predators, args.n_preys, env.worlds.bodies[k]["movable"]
    me = i if team == 0 else p + i
    if not lives[me]:
        return [0.0] * env.spec.teams[team].obs_dim
    (x, y), g = pos[me], args.ground
    row = [*vel[me], x, y, g - x, g + x, g - y, g + y]
    for body in range(p + q, len(pos)):
        row += [*(pos[body] - pos[me])]
    others = [body for body in range(p + q) if body != me]
    for body in others:
        row += [*(pos[body] - pos[me])] if lives[body] else [0, 0]
    for body in others:
        row += [*vel[body]] if lives[body] else [0, 0]
    return row + [float(lives[body]) for body in others if body >= p]


def slow_state(env, k):
    pos, vel, lives = env.positions[k], env.velocities[k], env.worlds.bodies[k]["movable"]
    p, q = env.args.n_predators, env.args.n_preys
    row = []
    for body in range(p + q):
        row += [*pos[body], *vel[body]] if lives[body] else [0, 0, 0, 0]
    return [*row, *pos[p + q :].reshape(-1), *lives[p : p + q]]


def slow_rewards(env, k, captured):
    args, pos = env.args, env.positions[k]
    p, q, lives = args.n_predators, args.n_preys, env.worlds.bodies[k]["movable"]
    living = [pos[body] for body in range(p, p + q) if lives[body]]
    chase = sum(min(np.linalg.norm(at - one) for one in living) for at in pos[:p]) if living else 0
    flight = sum(min(np.linalg.norm(at - one) for at in pos[:p]) for one in living)
    centre = sum(np.linalg.norm(one) for one in living)
    return (
        args.capture_bonus * captured - args.distance_weight * chase,
        args.distance_weight * flight - args.centre_weight * centre - args.capture_penalty * captured,
    )


@pytest.mark.parametrize(("n_predators", "n_preys"), [(3, 3), (1, 4), (4, 1)])
def test_observations_states_and_rewards_equal_slow_references(n_predators, n_preys):
    env = make(
        "predator_prey", 12, n_predators=n_predators, n_preys=n_preys, ground=0.8, obstacle_spread=0.3, time_limit=40,
        capture_bonus=4, capture_penalty=6, distance_weight=0.5, centre_weight=0.7,
    )  # fmt: skip
    generator, active, total = np.random.default_rng(2), np.ones(12, bool), np.zeros(12)
    preys = slice(n_predators, n_predators + n_preys)
    while active.any():
        before = env.worlds.bodies["movable"][:, preys].sum(1)
        out = env.step(random_moves(env, generator), active)
        captured = before - env.worlds.bodies["movable"][:, preys].sum(1)
        total += captured
        for k in np.flatnonzero(active):
            for team, shown in enumerate(out.teams):
                for i, row in enumerate(shown.obs[k]):
                    np.testing.assert_allclose(row, slow_observation(env, k, team, i), atol=1e-6)
                np.testing.assert_allclose(shown.state[k], slow_state(env, k), atol=1e-6)
                np.testing.assert_allclose(shown.rewards[k, 0], slow_rewards(env, k, captured[k])[team], atol=1e-5)
        active = active & ~(out.terminated | out.truncated)
    np.testing.assert_array_equal(out.info["captured"], total)
    np.testing.assert_allclose(out.info["capture_rate"], total / n_preys)
    np.testing.assert_array_equal(out.info["all_captured"], out.terminated)
    assert total.sum() >= 3


def test_columns_name_the_parts_of_an_observation():
    for team, (predators, preys) in enumerate(((2, 2), (3, 1))):
        env = make("predator_prey", n_predators=3, n_preys=2)
        columns = env.args.columns(env.spec.teams[team].name)
        widths = {name: part.stop - part.start for name, part in columns.items()}
        assert widths == {
            "velocity": 2, "position": 2, "walls": 4, "obstacles": 4, "predators": 2 * predators, "preys": 2 * preys,
            "predator_velocities": 2 * predators, "prey_velocities": 2 * preys, "living": preys,
        }  # fmt: skip
        assert sum(widths.values()) == env.spec.teams[team].obs_dim


def test_render_shows_walls_predators_preys_and_captures():
    env = duel()
    put(env, [[0.0, 0.0], [1.0, 1.0], [0.12, 0.0], [-1.0, -1.0]])
    before = env.render()
    assert (before.shape, before.dtype) == ((400, 400, 3), np.uint8)
    step(env)
    after = env.render()
    red, blue = ((after[..., c] > after[..., 2 - c] + 80.0).reshape(2, 200, 2, 200).sum((1, 3)) for c in (0, 2))
    assert red[0, 1] > 30  # up and right (the walls' yellow too)
    assert blue[1, 0] > 10  # down and left
    assert (before != after).any(-1).sum() > 20  # the prey has become a cross
    assert (after == (222, 184, 60)).all(-1).sum() > 1000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["n_predators=0"], "env_args.n_predators=0.*greater than or equal to 1"),
        (["n_preys=0"], "env_args.n_preys=0.*greater than or equal to 1"),
        (["ground=-1"], "greater than 0"),
        (["ground=0.6"], "ground=0.6 is too small: .*0.7"),
        (["ground=0.1", "n_obstacles=0", "predator_radius=0.2"], "ground=0.1 is too small"),
        (["n_predators=500"], "500 predators.*a quarter"),
        (["prey_max_speed=0"], "prey_max_speed=0.*greater than 0"),
        (["preys=3"], "Did you mean 'n_preys'"),
    ],
)
def test_wrong_settings_are_a_users_error(words, message):
    with pytest.raises(UserError, match=message):
        resolve("asae", "predator_prey", [f"env_args.{word}" for word in words])


def test_the_file_has_the_defaults():
    options = resolve("asae", "predator_prey", [])
    assert options.env_args == PredatorPreyArgs()
    assert options.learner.gamma == 0.98


def test_wrong_actions_are_refused():
    env = duel()
    with pytest.raises(ValueError, match="2 teams"):
        env.step([np.zeros((1, 2), int)], np.ones(1, bool))
    with pytest.raises(ValueError, match=r"\(1, 2\), not \(1, 3\)"):
        env.step([np.zeros((1, 2), int), np.zeros((1, 3), int)], np.ones(1, bool))
    with pytest.raises(ValueError, match="actions 0"):
        step(env, [0, 5])
