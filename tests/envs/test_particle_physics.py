import math

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from envs.particle import physics

coordinates = st.floats(-0.4, 0.4, allow_nan=False)


def reference_step(pos, vel, bodies, actions, velocity_first):
    """One step of the particle physics in plain Python: pos and vel [M, 2] -> new pos, new vel."""
    moves = [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)]
    force = np.zeros_like(pos)
    for a, action in enumerate(actions):
        force[a] = np.array(moves[action], float) * bodies[a]["accel"]
    for a in range(len(bodies)):
        for b in range(len(bodies)):
            if a == b or not (bodies[a]["collides"] and bodies[b]["collides"]):
                continue
            delta = pos[a] - pos[b]
            distance = np.linalg.norm(delta)
            touch = bodies[a]["radius"] + bodies[b]["radius"]
            force[a] += 100 * delta / distance * 1e-3 * np.logaddexp(0, (touch - distance) / 1e-3)
    new_vel = 0.75 * vel + force * 0.1
    for a in range(len(bodies)):
        speed = np.linalg.norm(new_vel[a])
        if speed > bodies[a]["max_speed"]:
            new_vel[a] *= bodies[a]["max_speed"] / speed
        if not bodies[a]["movable"]:
            new_vel[a] = vel[a]
    moving = bodies["movable"][:, None]
    return pos + moving * 0.1 * (new_vel if velocity_first else vel), new_vel


def mixed_bodies():
    """Two fast bodies, one slow large one, a fixed obstacle, a fixed mark that nothing touches."""
    return np.concatenate(
        [
            physics.make_bodies(2, radius=0.05, accel=4.0, max_speed=1.3),
            physics.make_bodies(1, radius=0.15, accel=3.0, max_speed=0.5),
            physics.make_bodies(1, radius=0.2, movable=False),
            physics.make_bodies(1, radius=0.1, movable=False, collides=False),
        ]
    )


@pytest.mark.parametrize("velocity_first", [False, True])
def test_step_equals_the_plain_python_reference(velocity_first):
    generator = np.random.default_rng(3)
    bodies = mixed_bodies()
    touched = 0
    for _ in range(300):
        pos = generator.uniform(-0.4, 0.4, (5, 2))
        vel = generator.normal(0, 0.6, (5, 2)) * bodies["movable"][:, None]
        actions = generator.integers(0, 5, 3)
        expected_pos, expected_vel = reference_step(pos, vel, bodies, actions, velocity_first)
        force = np.full((5, 2), 7.0)
        physics.advance(pos, vel, force, bodies, actions, velocity_first)
        np.testing.assert_allclose(pos, expected_pos, atol=1e-12, rtol=0)
        np.testing.assert_allclose(vel, expected_vel, atol=1e-12, rtol=0)
        touched += np.abs(force).max() > 5
    assert touched > 50


def test_integrators_differ_by_which_velocity_moves_the_body():
    bodies = physics.make_bodies(1, radius=0.1)
    ends = []
    for velocity_first in (False, True):
        pos, vel, force = np.zeros((1, 2)), np.zeros((1, 2)), np.zeros((1, 2))
        physics.advance(pos, vel, force, bodies, np.array([2]), velocity_first)
        assert vel.tolist() == [[0.5, 0.0]]
        ends.append(pos[0, 0])
    assert ends == pytest.approx([0.0, 0.05])


@given(x=coordinates, y=coordinates, touch=st.floats(0.1, 0.4))
@settings(deadline=None)
def test_contact_forces_are_equal_and_opposite(x, y, touch):
    fx, fy = physics.contact_force(x, y, touch)
    if x * x + y * y > 0:  # (nearly) coincident bodies are pushed along x whatever the order
        assert physics.contact_force(-x, -y, touch) == (-fx, -fy)
        assert fx * x >= 0
        assert fy * y >= 0
    bodies = physics.make_bodies(2, radius=touch / 2)
    force = np.zeros((2, 2))
    physics.add_contacts(np.array([[x, y], [0.0, 0.0]]), bodies, force)
    assert force[0].tolist() == (-force[1]).tolist() == [fx, fy]


@given(points=st.lists(st.tuples(coordinates, coordinates), min_size=5, max_size=5))
@settings(deadline=None, max_examples=50)
def test_contacts_conserve_momentum(points):
    bodies = physics.make_bodies(5, radius=0.1)
    pos, vel = np.array(points, float), np.zeros((5, 2))
    physics.advance(pos, vel, np.zeros((5, 2)), bodies, np.zeros(5, int), False)
    np.testing.assert_allclose(vel.sum(axis=0), 0, atol=1e-12)


@given(distance=st.one_of(st.floats(0.1, 0.35), st.floats(1e-150, 1e-3)))  # below, the square is not exact any more
@settings(deadline=None)
def test_contact_force_is_the_soft_penetration(distance):
    force, sideways = physics.contact_force(distance, 0.0, 0.3)
    assert force == pytest.approx(100 * 1e-3 * np.logaddexp(0, (0.3 - distance) / 1e-3), abs=1e-12, rel=1e-12)
    assert sideways == 0


@pytest.mark.parametrize("gap", [0.0, 5e-324, 1e-200])
def test_coincident_bodies_give_finite_numbers_and_part(gap):
    bodies = physics.make_bodies(3, radius=0.15)
    pos, vel, force = np.zeros((3, 2)), np.zeros((3, 2)), np.zeros((3, 2))
    pos[1, 1] = gap
    for _ in range(20):
        physics.advance(pos, vel, force, bodies, np.array([0, 0, 0]), False)
    assert np.isfinite(pos).all()
    assert np.isfinite(vel).all()
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert math.dist(pos[a], pos[b]) > 0.25


@pytest.mark.parametrize("action", [-1, 5])
def test_unknown_action_is_refused(action):
    bodies = physics.make_bodies(1, radius=0.1)
    with pytest.raises(ValueError, match="actions 0"):
        physics.set_controls(np.array([action]), bodies, np.zeros((1, 2)))


@given(
    x=st.floats(-5, 5, allow_nan=False),
    y=st.floats(-5, 5, allow_nan=False),
    vx=st.floats(-3, 3, allow_nan=False),
    vy=st.floats(-3, 3, allow_nan=False),
)
@settings(deadline=None)
def test_walls_hold_whole_bodies_and_take_the_velocity_into_them(x, y, vx, vy):
    bodies = physics.make_bodies(1, radius=0.25)
    pos, vel = np.array([[x, y]]), np.array([[vx, vy]])
    physics.confine(pos, vel, bodies, 1.0)
    for before, speed, after, rest in zip((x, y), (vx, vy), pos[0], vel[0], strict=True):
        assert after == min(max(before, -0.75), 0.75)
        assert rest == (speed if before == after else speed if speed * before <= 0 else 0.0)


def test_walls_leave_fixed_bodies_where_they_are():
    pos, vel = np.array([[3.0, 0.0]]), np.zeros((1, 2))
    physics.confine(pos, vel, physics.make_bodies(1, radius=0.1, movable=False), 1.0)
    assert pos.tolist() == [[3.0, 0.0]]


@given(x=coordinates, y=coordinates, vx=st.floats(-2, 2), vy=st.floats(-2, 2))
@example(x=0.0, y=8e-162, vx=0.0, vy=0.0)  # the square of y has one or two digits
@settings(deadline=None)
def test_fixed_disks_hold_bodies_off_and_let_them_slide(x, y, vx, vy):
    assume(abs(math.hypot(x, y) - 0.3) > 1e-9)  # on the rim itself rounding decides
    bodies = np.concatenate([physics.make_bodies(1, radius=0.1), physics.make_bodies(1, radius=0.2, movable=False)])
    pos, vel = np.array([[x, y], [0.0, 0.0]]), np.array([[vx, vy], [0.0, 0.0]])
    physics.keep_off(pos, vel, bodies, 1)
    if math.hypot(x, y) > 0.3:
        assert pos[0].tolist() == [x, y]
        assert vel[0].tolist() == [vx, vy]
        return
    assert math.hypot(*pos[0]) == pytest.approx(0.3)
    outwards = pos[0] / 0.3
    if math.hypot(x, y) > 1e-6:
        np.testing.assert_allclose(outwards, np.array([x, y]) / math.hypot(x, y), atol=1e-9)
    sideways = np.array([-outwards[1], outwards[0]])
    assert vel[0] @ sideways == pytest.approx(np.array([vx, vy]) @ sideways, abs=1e-9)
    assert vel[0] @ outwards == pytest.approx(max(np.array([vx, vy]) @ outwards, 0), abs=1e-9)
    assert not pos[1].any()
