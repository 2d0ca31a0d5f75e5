"""Both adapters, on environments as other people write them (``foreign_envs``)."""

import numpy as np
import pytest
from adapters import play, single, slot

from core.errors import UserError
from envs.adapters.gymma import Gymma
from envs.adapters.pettingzoo_env import PettingZoo
from envs.conformance import check_env

TERMINATED, TRUNCATED = (True, False), (False, True)


def last(env, **kwargs):
    return play(env, **kwargs)[-1]


# clocks


@pytest.mark.parametrize(("limit", "returned"), [(None, 3 - 0.9 * 6 / 4), (4, 3 - 0.9 * 6 / 4), (9, 3 - 0.9 * 6 / 9)])
def test_rewards_follow_the_environments_own_clock(limit, returned):
    env = single("Early-v0", time_limit=limit)
    rows = play(env)
    assert env.spec.episode_limit == (limit or 4)
    assert (len(rows), rows[-1]["flags"]) == (4, TERMINATED)
    assert sum(row["rewards"][0] for row in rows[1:]) == pytest.approx(returned)


def test_a_shorter_limit_truncates_and_leaves_the_clock_alone():
    rows = play(single("Early-v0", time_limit=2))
    assert (len(rows), rows[-1]["flags"]) == (3, TRUNCATED)
    assert rows[1]["rewards"] == pytest.approx(1 - 0.9 / 4)


def test_a_limit_that_cannot_be_set():
    assert single("ReadOnly-v0").spec.episode_limit == 5
    with pytest.raises(UserError, match=r"ends its episodes after 5 steps by itself .*time_limit=9 must be at most 5"):
        single("ReadOnly-v0", time_limit=9)


@pytest.mark.parametrize("key", ["Line", "wrapped", "whole_float"])
def test_the_limit_is_read_wherever_it_is(key):
    env = single(key)
    assert env.spec.episode_limit == 6
    rows = play(env)
    assert (len(rows), rows[-1]["flags"]) == (7, TRUNCATED)


@pytest.mark.parametrize("key", ["Line", "wrapped"])
def test_a_longer_limit_is_the_constructors(key):
    env = single(key, time_limit=8)
    assert env.spec.episode_limit == 8
    assert len(play(env)) == 9


def test_a_limit_in_the_spec_of_an_environment_inside():
    env = single("SingleInside")
    assert env.spec.episode_limit == 3
    assert len(play(env)) == 4


def test_a_longer_limit_that_the_constructor_does_not_take():
    assert single("Sealed").spec.episode_limit == 5
    with pytest.raises(UserError, match="must be at most 5"):
        single("Sealed", time_limit=6)
    with pytest.raises(UserError, match=r"time_limit=9 is longer than env_args.max_cycles=7, .* leave one of them out"):
        single("Line", time_limit=9, max_cycles=7)


@pytest.mark.parametrize(("limit", "steps", "flags"), [(None, 4, TRUNCATED), (2, 2, TRUNCATED), (9, 6, TERMINATED)])
def test_the_registrys_limit_can_be_replaced(limit, steps, flags):
    rows = play(single("Registered-v0", time_limit=limit))
    assert (len(rows) - 1, rows[-1]["flags"]) == (steps, flags)


# masks and states


@pytest.mark.parametrize("way", ["array", "named", "single", "method"])
def test_masks_of_gymnasium_environments(way):
    rows = play(single("Masked-v0", time_limit=6, way=way))
    for t, row in enumerate(rows):
        expected = [[(i + t) % 3 != a for a in range(3)] for i in range(2)]
        if t == 2:
            expected[1] = [True, False, False]  # nothing is available: action 0
        assert row["available"].tolist() == expected, t


@pytest.mark.parametrize("way", ["info", "method"])
def test_masks_of_pettingzoo_environments(way):
    for line, pair in zip(play(single("MaskedLine", way=way)), play(single("Masked-v0", time_limit=6)), strict=True):
        np.testing.assert_array_equal(line["available"], pair["available"])


def test_a_mask_of_another_length():
    with pytest.raises(ValueError, match="the action mask of agent 0 has 2 entries for 3 actions"):
        single("Masked-v0", time_limit=6, way="short")


@pytest.mark.parametrize(
    ("way", "reason"),
    [("numbers", r"mask of agent 0 is \[0, 2, 1\], not a 1 or 0"), ("long", "allows actions beyond the 3")],
)
def test_what_is_no_mask(way, reason):
    with pytest.raises(ValueError, match=reason):
        single("Masked-v0", time_limit=6, way=way)


@pytest.mark.parametrize("way", ["info", "method"])
def test_states_of_gymnasium_environments(way):
    env = single("Told-v0", time_limit=6, state="env", way=way)
    assert env.spec.state_dim == 2
    assert [row["state"].tolist() for row in play(env)] == [[t, 9] for t in range(7)]
    assert single("Told-v0", time_limit=6).spec.state_dim == 0


def test_a_state_that_wants_a_reset_first():
    env = single("wrapped", state="env")
    assert [row["state"].tolist() for row in play(env)] == [[t, 7] for t in range(7)]


@pytest.mark.parametrize("key", ["Line", "Mixed-v0"])
def test_no_state(key):
    with pytest.raises(UserError, match=r"has no state of its own: .*use env_args.state=joint_obs"):
        single(key, time_limit=6, state="env")


# ends and numbers


@pytest.mark.parametrize("once", [False, True])
def test_agents_that_end_in_different_ways(once):
    rows = play(single("Mixed-v0", time_limit=9, once=once))
    assert [row["flags"] for row in rows] == [(False, False)] * 4 + [TRUNCATED]
    assert last(single("Mixed-v0", time_limit=3))["flags"] == TRUNCATED


def test_an_agent_that_has_ended_stays_out_though_it_is_still_listed():
    rows = play(single("Lingering"), choose=lambda available: available.argmax(1))
    assert rows[-1]["flags"] == TRUNCATED
    assert [row["rewards"].tolist() for row in rows[1:]] == [[1, 1]] * 2 + [[0, 1]] * 4


def test_numbers_of_the_last_info():
    rows = play(single("Scored-v0", time_limit=6))
    assert [row["numbers"] for row in rows[:-1]] == [{}] * 6
    assert rows[-1]["numbers"] == {"success": 1.0, "time": 6.0, "one": 2.0}
    assert last(single("Scored-v0", time_limit=5))["numbers"]["success"] == 0.0
    assert last(single("Scored-v0", time_limit=5, way="agents"))["numbers"] == {"score": 2.5, "extra": 5.0}


def test_numbers_of_agents_that_leave_one_after_another():
    rows = play(single("ScoredLine"))
    assert [row["numbers"] for row in rows[:-1]] == [{}] * 6
    assert rows[-1]["numbers"] == {"points": (2 + 6) / 2, "of_left": 1.0, "of_right": 1.0}
    assert last(single("ScoredLine", time_limit=4))["numbers"]["points"] == (2 + 4) / 2
    assert last(single("ScoredLine", everybody=True))["numbers"] == {"won": 1.0}


# drawing


@pytest.mark.parametrize("key", ["Picture", "hidden_picture", "AlwaysDrawn", "DrawnPair-v0", "OldDrawnPair-v0"])
def test_whatever_can_be_drawn_is(key):
    env = single(key, time_limit=6)
    play(env, steps=4)
    assert env.spec.can_render
    assert env.render().tolist() == np.full((2, 3, 3), 4).tolist()


@pytest.mark.parametrize(("shape", "dtype"), [((2, 3), "uint8"), ((2, 3, 4), "uint8"), ((2, 3, 3), "float64")])
def test_pictures_of_other_forms(shape, dtype):
    drawn = single("Drawn", shape=shape, dtype=dtype).render()
    assert (drawn.tolist(), drawn.dtype) == (np.full((2, 3, 3), 7).tolist(), np.uint8)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [({"shape": (1, 2, 3, 3)}, r"shape \(1, 2, 3, 3\)"), ({"value": 0.5, "dtype": "float64"}, "float64, not whole")],
)
def test_what_is_no_picture(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        single("Drawn", **arguments).render()


@pytest.mark.parametrize(("mode", "drawn"), [("rgb_array", True), ("human", False), (None, False)])
def test_a_render_mode_of_the_users(mode, drawn):
    assert single("Picture", render_mode=mode).spec.can_render is drawn


@pytest.mark.parametrize("key", ["Window", "hidden_window", "Line"])
def test_what_cannot_be_drawn_trains(key):
    env = single(key)
    assert not env.spec.can_render
    assert last(env)["flags"] == TRUNCATED


# older forms


def test_a_reset_without_seed_and_infos():
    env = single("OldLine")
    rows = play(env)
    assert rows[-1]["flags"] == TERMINATED, "done is all that it says"
    assert rows[1]["rewards"].tolist() == [0, 0]
    assert "its reset takes no seed" in env.spec.notes[0]
    assert single("Line").spec.notes == ()


def test_numbers_of_any_type():
    env = single("Numbered")
    rows = play(env, choose=lambda available: np.array([0, 2]))
    assert (env.spec.agents, len(rows), rows[-1]["flags"]) == (("7", "3"), 7, TRUNCATED)
    assert rows[2]["obs"].tolist() == [[0.5, 2, 0], [1, 0, 1]]
    assert rows[2]["rewards"].tolist() == [-1, 1]


@pytest.mark.parametrize(("seed", "flags"), [(2, TERMINATED), (3, TRUNCATED)])
def test_the_step_and_seed_of_old_gym(seed, flags):
    env = single("OldPair-v0", time_limit=9)
    assert env.spec.notes == (), "seed() takes it"
    rows = play(env, seed=seed, choose=lambda available: np.array([2, 1]))
    assert (len(rows), rows[-1]["flags"]) == (7, flags)
    assert rows[1]["rewards"].tolist() == [2, 1]


# all of it behind workers


@pytest.mark.parametrize(
    ("cls", "key"), [(PettingZoo, "ScoredLine"), (PettingZoo, "MaskedLine"), (Gymma, "Masked-v0"), (Gymma, "Scored-v0")]
)
def test_conformance(cls, key):
    args = cls.Args(key=f"foreign_envs:{key}", time_limit=6, n_workers=1)
    env, other = cls(3, args), cls(2, args)
    try:
        check_env(env, other=other, episodes=3)
    finally:
        env.close()
        other.close()


def test_rubbish_of_the_last_episode_is_overwritten():
    env = single("Line")
    out = slot(env.spec)
    env.reset(1, out)
    assert (out.obs == 0).all()
    assert out.available.all()


def test_mpe2_has_a_state_and_is_drawn():
    env = PettingZoo(1, PettingZoo.Args(key="mpe2.simple_spread_v3", state="env"))
    try:
        assert (env.spec.teams[0].state_dim, env.spec.can_render) == (54, True)
        out = env.reset(np.array([0]), np.array([7], np.uint64))
        np.testing.assert_array_equal(out.teams[0].state[0], out.teams[0].obs[0].reshape(-1))
    finally:
        env.close()


# what is wrong


@pytest.mark.parametrize(
    ("key", "wrong", "reason"),
    [
        ("Shrinking", "small", "the observation of agent left has 1 entries, not 2"),
        ("Shrinking", "large", "the observation of agent left has 3 entries, not 2"),
        ("Shrinking", "none", "no observation of agent left"),
        ("ShrinkingPair-v0", "small", "the observation of agent 0 has 1 entries, not 2"),
        ("ShrinkingPair-v0", "fewer", "1 observations for 2 agents"),
        ("ShrinkingPair-v0", "rewards", "1 rewards for 2 agents"),
    ],
)
def test_old_numbers_are_never_taken_for_new_ones(key, wrong, reason):
    env = single(key, wrong=wrong, time_limit=6)
    with pytest.raises(ValueError, match=reason):
        play(env)


@pytest.mark.parametrize("late", [False, True])
def test_a_package_that_is_needed_late(late):
    with pytest.raises(UserError, match="needs the Python package 'package_that_is_not_there'") as told:
        PettingZoo(1, PettingZoo.Args(key="foreign_envs:Unfounded", late=late, n_workers=1)).reset(
            np.array([0]), np.array([7], np.uint64)
        )
    assert "Traceback" not in str(told.value)


def test_of_what_is_too_large_there_is_one_message(capfd):
    env = PettingZoo(1, PettingZoo.Args(key="foreign_envs:Vast", n_workers=1))
    try:
        env.reset(np.array([0]), np.array([7], np.uint64))
        failed = [bool(env.step([np.zeros((1, 2), np.int64)], np.ones(1, bool)).failed[0]) for _ in range(3)]
    finally:
        env.close()
    assert failed == [False, False, True]
    (line,) = capfd.readouterr().err.splitlines()
    assert "the reward of agent left is inf (infinite, or too large for float32) in step 3" in line
