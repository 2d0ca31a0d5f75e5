"""Replay: what comes out is what went in."""

import dataclasses
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.allocator import keep_freed_memory
from components.replay import Replay, zero_pages
from core.data import EpisodeBatch, TeamSpec
from core.errors import UserError

LIMIT, A, U, OBS, STATE = 6, 2, 5, 3, 4


def team(**changes):
    sizes = {"n_agents": A, "n_actions": U, "obs_dim": OBS, "state_dim": STATE, "reward_dim": 1}
    return TeamSpec(name="agents", **{**sizes, **changes})


def make(capacity=8, seed=0, reward_dim=1, **changes):
    return Replay(
        team(**changes),
        episode_limit=LIMIT,
        capacity=capacity,
        reward_dim=reward_dim,
        generator=np.random.default_rng(seed),
    )


def batch_of(lengths, *, first=0, terminated=None, n_actions=U, joint=False, reward_dim=1, seed=0):
    """Episodes that are known by rewards[0] = their number; padding as the runner leaves it."""
    n, n_steps = len(lengths), max(lengths)
    length = torch.tensor(lengths)
    g = torch.Generator().manual_seed(seed)
    mask = torch.arange(n_steps) < length[:, None]
    rows = torch.arange(n_steps + 1) <= length[:, None]
    obs = torch.randn(n, n_steps + 1, A, OBS, generator=g) * rows[:, :, None, None]
    rewards = torch.randn(n, n_steps, reward_dim, generator=g) * mask[..., None]
    rewards[:, 0] = torch.arange(first, first + n).float()[:, None]
    ends = torch.tensor([True] * n if terminated is None else terminated)
    return EpisodeBatch(
        obs=obs,
        state=obs.flatten(2) if joint else torch.randn(n, n_steps + 1, STATE, generator=g) * rows[:, :, None],
        available=(torch.rand(n, n_steps + 1, A, n_actions, generator=g) < 0.5) | ~rows[:, :, None, None],
        actions=torch.randint(0, n_actions, (n, n_steps, A), generator=g) * mask[..., None],
        rewards=rewards,
        terminated=(torch.arange(n_steps) == length[:, None] - 1) & ends[:, None],
        mask=mask,
    )


def assert_same(sampled, original):
    """Every sampled episode equals the original of the same number, cut or padded to the sample's length."""
    lengths = []
    for k in range(sampled.n_episodes):
        number = int(sampled.rewards[k, 0, 0])
        row = [int(r) for r in original.rewards[:, 0, 0]].index(number)
        length = int(original.mask[row].sum())
        lengths.append(length)
        for key, extra in (("obs", 1), ("state", 1), ("available", 1), ("actions", 0), ("rewards", 0)):
            got, want = getattr(sampled, key)[k], getattr(original, key)[row]
            assert got.dtype == want.dtype
            assert torch.equal(got[: length + extra], want[: length + extra]), key
            padding = got[length + extra :]
            assert (padding == (key == "available")).all(), key
        assert sampled.mask[k].tolist() == [t < length for t in range(sampled.n_steps)]
        end = bool(original.terminated[row].any())
        assert sampled.terminated[k].tolist() == [end and t == length - 1 for t in range(sampled.n_steps)]
    assert sampled.n_steps == max(lengths)
    assert sampled.obs.shape[1] == sampled.n_steps + 1


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, LIMIT), min_size=1, max_size=8),
    seed=st.integers(0, 1000),
    joint=st.booleans(),
    reward_dim=st.sampled_from([1, A]),
)
def test_round_trip(lengths, seed, joint, reward_dim):
    ends = [k % 2 == 0 for k in range(len(lengths))]
    batch = batch_of(lengths, terminated=ends, joint=joint, reward_dim=reward_dim, seed=seed)
    replay = make(
        reward_dim=reward_dim,
        state_is_joint_obs=joint,
        state_dim=A * OBS if joint else STATE,
    )
    replay.add(batch)
    assert_same(replay.sample(len(lengths)), batch)


def test_a_shorter_episode_leaves_nothing_of_the_longer_one_that_it_replaces():
    replay = make(capacity=2)
    replay.add(batch_of([LIMIT, LIMIT], terminated=[True, True]))
    short = batch_of([2], first=10, terminated=[False], seed=3)
    replay.add(short)
    sample = replay.sample(2)
    row = sample.rewards[:, 0, 0].int().tolist().index(10)
    assert sample.n_steps == LIMIT
    assert sample.mask[row].tolist() == [True, True] + [False] * (LIMIT - 2)
    assert not sample.terminated[row].any()
    for key, extra in (("obs", 1), ("state", 1), ("available", 1), ("actions", 0), ("rewards", 0)):
        got = getattr(sample, key)[row]
        assert torch.equal(got[: 2 + extra], getattr(short, key)[0])
        assert (got[2 + extra :] == (key == "available")).all(), key


def test_the_ring_keeps_the_newest():
    replay = make(capacity=5)
    for first in range(0, 12, 3):
        replay.add(batch_of([2, 3, 1], first=first, seed=first))
    assert replay.size == 5
    numbers = replay.sample(5).rewards[:, 0, 0].int().tolist()
    assert sorted(numbers) == [7, 8, 9, 10, 11]


@pytest.mark.parametrize(("n_actions", "dtype"), [(5, np.uint8), (256, np.uint8), (257, np.int32), (70_000, np.int32)])
def test_actions_keep_their_values(n_actions, dtype):
    replay = make(n_actions=n_actions)
    batch = batch_of([3, 3], n_actions=n_actions)
    batch.actions[0, 0, 0] = n_actions - 1
    replay.add(batch)
    assert replay.arrays["actions"].dtype == dtype
    assert_same(replay.sample(2), batch)


def test_sampling_is_without_replacement_and_uniform():
    replay = make(capacity=6)
    replay.add(batch_of([1] * 6))
    counts = np.zeros(6)
    for _ in range(600):
        numbers = replay.sample(3).rewards[:, 0, 0].int().tolist()
        assert len(set(numbers)) == 3
        counts[numbers] += 1
    assert ((counts - 300) ** 2 / 300).sum() < 20.5  # chi-square, 5 degrees of freedom, p = 0.001


def test_only_what_was_added_is_sampled():
    replay = make(capacity=100)
    assert not replay.can_sample(1)
    replay.add(batch_of([1, 1, 1]))
    assert replay.can_sample(3)
    assert not replay.can_sample(4)
    assert {int(x) for _ in range(20) for x in replay.sample(2).rewards[:, 0, 0]} == {0, 1, 2}


def test_a_sample_is_a_copy():
    replay = make()
    batch = batch_of([3, 2])
    replay.add(batch)
    sample = replay.sample(2)
    for value in sample.tensors().values():
        value.zero_()
    assert_same(replay.sample(2), batch)


@pytest.mark.parametrize("added", [3, 12])
def test_state_is_exact(added):
    replay = make(capacity=5)
    for first in range(0, added, 3):
        replay.add(batch_of([2, 6, 1], first=first, seed=first))
    replay.sample(2)
    other = make(capacity=5, seed=99)
    other.load_state_dict(replay.state_dict())
    for _ in range(3):
        first, second = replay.sample(2), other.sample(2)
        for key, value in first.tensors().items():
            assert torch.equal(value, getattr(second, key)), key
        for one in (replay, other):
            one.add(batch_of([4, 1], first=50, seed=5))
    assert replay.position == other.position


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_memory_grows_with_the_episodes_and_n_bytes_is_what_it_becomes():
    keep_freed_memory()  # as in a run; memory that was freed before must not be taken and cleared
    freed = [np.ones(10**7) for _ in range(3)]
    del freed
    before = resident_bytes()
    replay = Replay(
        team(n_agents=8, obs_dim=80, state_dim=200, n_actions=14),
        episode_limit=100,
        capacity=500,
        reward_dim=1,
        generator=np.random.default_rng(0),
    )
    per_step = 4 * (8 * 80 + 200) + 8 * 14
    assert replay.n_bytes == 500 * (101 * per_step + 100 * (8 + 4) + 4 + 1)
    assert resident_bytes() - before < replay.n_bytes / 20
    for array in replay.arrays.values():
        array.fill(1)
    assert resident_bytes() - before > replay.n_bytes * 0.95


def test_a_joint_state_is_not_stored_twice():
    assert "state" not in make(state_is_joint_obs=True, state_dim=A * OBS).arrays


def test_a_buffer_that_can_never_fit_is_one_clear_message():
    with pytest.raises(MemoryError):
        zero_pages((10**9, 10**9), np.float32)
    with pytest.raises(
        UserError, match=r"Not enough memory for a replay buffer of .* GiB when full.*lower buffer_size"
    ):
        make(capacity=10**15)


# -- half precision ----------------------------------------------------------------------------------------------------


def halved(**changes):
    return Replay(
        team(**changes),
        episode_limit=LIMIT,
        capacity=8,
        reward_dim=1,
        generator=np.random.default_rng(0),
        dtype="float16",
    )


@pytest.mark.parametrize("joint", [False, True])
def test_half_precision_keeps_three_digits_of_observations_and_states_and_the_rest_exactly(joint):
    sizes = {"state_is_joint_obs": joint, "state_dim": A * OBS if joint else STATE}
    batch = batch_of([3, LIMIT, 1], joint=joint)
    replay, whole = halved(**sizes), make(**sizes)
    for one in (replay, whole):
        one.add(batch)
    half, full = replay.sample(3), whole.sample(3)
    for key, value in full.tensors().items():
        kept = getattr(half, key)
        assert kept.dtype == value.dtype
        if key in ("obs", "state"):
            torch.testing.assert_close(kept, value, rtol=2**-11, atol=2**-25)  # half a unit of the last place
            assert not torch.equal(kept, value)
        else:
            assert torch.equal(kept, value), key
    rest = sum(array.nbytes for key, array in whole.arrays.items() if key not in ("obs", "state"))
    assert replay.n_bytes - rest == (whole.n_bytes - rest) / 2


def test_half_precision_is_restored_exactly():
    replay, other = halved(), halved()
    replay.add(batch_of([2, 6, 1]))
    other.load_state_dict(replay.state_dict())
    assert all(np.array_equal(array, other.arrays[key]) for key, array in replay.arrays.items())


@pytest.mark.parametrize(("key", "what"), [("obs", "An observation"), ("state", "A state")])
def test_what_half_precision_cannot_hold_is_told(key, what):
    batch = batch_of([2])
    getattr(batch, key)[0, 1] = -70_000.0
    with pytest.raises(UserError, match=f"{what} holds 70000.*65,504.*buffer_dtype=float32"):
        halved().add(batch)


def test_bytes_are_bytes_in_either_precision():
    assert halved(obs_kind="image", state_kind="bytes").n_bytes == make(obs_kind="image", state_kind="bytes").n_bytes


# -- single steps -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("joint", [False, True])
def test_steps_are_those_of_the_episodes(joint):
    """Rows of a step and of the one behind it, its end, and the actions before it."""
    lengths, ends = [3, 1, LIMIT, 2], [True, False, False, True]
    batch = batch_of(lengths, terminated=ends, joint=joint)
    batch.rewards[..., 0] = torch.arange(4.0)[:, None] * 10 + torch.arange(float(LIMIT))  # 10 * episode + step
    replay = make(state_is_joint_obs=joint, state_dim=A * OBS if joint else STATE)
    replay.add(batch)
    steps = replay.sample_steps(200)
    assert steps.obs.shape == (200, 2, A, OBS)
    assert steps.mask.shape == (200, 1)
    assert steps.mask.all()
    seen = set()
    for k in range(200):
        episode, t = divmod(int(steps.rewards[k, 0, 0]), 10)
        seen.add((episode, t))
        for key, rows in (("obs", 2), ("state", 2), ("available", 2), ("actions", 1)):
            assert torch.equal(getattr(steps, key)[k], getattr(batch, key)[episode, t : t + rows]), key
        assert bool(steps.terminated[k, 0]) == (ends[episode] and t == lengths[episode] - 1)
        assert torch.equal(steps.before[k], batch.actions[episode, t - 1] if t else torch.full((A,), -1))
    assert seen == {(episode, t) for episode, length in enumerate(lengths) for t in range(length)}


def test_last_actions_of_steps_are_those_of_their_episodes():
    batch = batch_of([4, 2])
    batch.rewards[..., 0] = torch.arange(2.0)[:, None] * 10 + torch.arange(4.0)
    replay = make()
    replay.add(batch)
    steps = replay.sample_steps(50)
    for kind in ("floats", "image"):
        whole, single = batch.last_actions(kind), steps.last_actions(kind)
        for k in range(50):
            episode, t = divmod(int(steps.rewards[k, 0, 0]), 10)
            assert torch.equal(single[k], whole[episode, t : t + 2])


@settings(max_examples=20, deadline=None)
@given(lengths=st.lists(st.integers(1, LIMIT), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_the_number_of_draws_of_a_step_does_not_depend_on_its_episode(lengths, seed):
    replay = make(seed=seed)
    batch = batch_of(lengths)
    batch.rewards[..., 0] = torch.arange(float(len(lengths)))[:, None] * 10 + torch.arange(float(max(lengths)))
    replay.add(batch)
    total = sum(lengths)
    counts = np.unique(replay.sample_steps(100 * total).rewards[:, 0, 0].numpy(), return_counts=True)[1]
    assert len(counts) == total
    assert counts.min() > 50  # of 100 +- 10
    assert counts.max() < 160


def test_which_sub_policy_was_played_is_kept_with_the_episode():
    replay = Replay(
        team(), episode_limit=LIMIT, capacity=3, reward_dim=1, generator=np.random.default_rng(0), n_policies=3
    )
    batch = batch_of([2, 3])
    played = torch.tensor([[0, 2], [1, 1]])
    replay.add(dataclasses.replace(batch, policies=played))
    for drawn in (replay.sample(2), replay.sample_steps(20)):
        assert drawn.policies.dtype == torch.int64
        for k in range(drawn.n_episodes):
            row = next(i for i in range(2) if (batch.obs[i] == drawn.obs[k, 0]).flatten(1).all(1).any())
            assert torch.equal(drawn.policies[k], played[row])
    assert "policies" not in make().arrays


# -- other teams ------------------------------------------------------------------------------------------------------


def against(capacity=6, seed=0):
    """A replay that keeps a team with other sizes and two sub-policies beside its own."""
    rival = Replay(
        team(n_actions=300, obs_dim=7),
        episode_limit=LIMIT,
        capacity=capacity,
        reward_dim=1,
        generator=np.random.default_rng(9),
        n_policies=2,
    )
    return Replay(
        team(),
        episode_limit=LIMIT,
        capacity=capacity,
        reward_dim=1,
        generator=np.random.default_rng(seed),
        rivals=[rival],
    )


def battle_of(lengths, first=0):
    """The rival's observations are the own ones' first number and 6 zeros more, its actions are 100 above."""
    own = batch_of(lengths, first=first, seed=first)
    obs = torch.zeros(*own.obs.shape[:3], 7)
    obs[..., 0] = own.obs[..., 0]
    n = own.n_episodes
    rival = dataclasses.replace(
        own,
        obs=obs,
        available=own.available.repeat(1, 1, 1, 60),
        actions=own.actions + 100 * own.mask[..., None],
        policies=torch.arange(first, first + n)[:, None].expand(n, A) % 2,
    )
    return dataclasses.replace(own, rivals=(rival,))


@pytest.mark.parametrize("draw", ["sample", "sample_steps"])
def test_other_teams_episodes_are_drawn_with_the_own_ones(draw):
    replay = against()
    replay.add(battle_of([3, 6, 1, 2]))
    replay.add(battle_of([2, 4, 5], first=4))  # the ring goes round
    alone = make(capacity=6)
    for one in (battle_of([3, 6, 1, 2]), battle_of([2, 4, 5], first=4)):
        alone.add(dataclasses.replace(one, rivals=()))
    batch, wanted = getattr(replay, draw)(6), getattr(alone, draw)(6)
    for key, value in wanted.tensors().items():
        assert torch.equal(value, getattr(batch, key)), key  # what is kept beside them changes no draw
    assert wanted.rivals == ()
    (rival,) = batch.rivals
    assert torch.equal(rival.obs[..., 0], batch.obs[..., 0])
    assert rival.obs.shape[-1] == 7
    assert torch.equal(rival.actions, batch.actions + 100 * batch.mask[..., None])
    assert torch.equal(rival.available[..., :U], batch.available)
    assert torch.equal(rival.mask, batch.mask)
    assert torch.equal(rival.terminated, batch.terminated)
    if draw == "sample":
        assert torch.equal(rival.policies, (batch.rewards[:, 0].long() % 2).expand(-1, A))
    else:
        known = batch.before >= 0
        assert torch.equal(rival.before[known], batch.before[known] + 100)
        assert (rival.before[~known] == -1).all()
    moved = batch.to("cpu")
    assert torch.equal(moved.rivals[0].obs, rival.obs)


def test_other_teams_are_saved_counted_and_looked_at():
    first, second = against(), against(seed=5)
    first.add(battle_of([3, 6, 1, 2]))
    second.load_state_dict(first.state_dict())
    for one in (first, second):
        one.add(battle_of([2, 4, 5], first=4))
    draws = [one.sample(4) for one in (first, second)]
    for key, value in draws[0].rivals[0].tensors().items():
        assert torch.equal(value, getattr(draws[1].rivals[0], key)), key
    assert first.n_bytes == make(capacity=6).n_bytes + first.rivals[0].n_bytes
    assert first.not_finite() == []
    first.rivals[0].arrays["obs"][1, 0] = np.nan
    assert first.not_finite() == ["obs"]
    assert "rivals" not in make().state_dict()
