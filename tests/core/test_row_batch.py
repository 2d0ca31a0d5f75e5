"""Episodes as rows: which, in which order, and what follows what."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from components.replay import Replay
from core.data import EpisodeBatch, TeamSpec
from core.packing import FEW
from core.row_batch import RowBatch
from estimators.returns import continues_from_mask

A, U, LIMIT = 2, 3, 12
SPEC = TeamSpec(name="agents", n_agents=A, n_actions=U, obs_dim=4, state_dim=5, reward_dim=1)
LENGTHS = st.lists(st.integers(1, LIMIT), min_size=1, max_size=12)


def episodes(lengths, seed=0):
    """Every row is told by its numbers; rubbish behind the episodes, as nothing may read it."""
    g = torch.Generator().manual_seed(seed)
    n, n_steps, length = len(lengths), max(lengths), torch.tensor(lengths)
    ended = torch.rand(n, generator=g) < 0.5
    return EpisodeBatch(
        obs=torch.randn(n, n_steps + 1, A, 4, generator=g),
        state=torch.randn(n, n_steps + 1, 5, generator=g),
        available=torch.rand(n, n_steps + 1, A, U, generator=g) < 0.7,
        actions=torch.randint(0, U, (n, n_steps, A), generator=g),
        rewards=torch.randn(n, n_steps, 1, generator=g),
        terminated=(torch.arange(n_steps) == length[:, None] - 1) & ended[:, None],
        mask=torch.arange(n_steps) < length[:, None],
    )


def replayed(batch):
    seeds = (np.random.default_rng(0) for _ in range(2))
    buffers = [Replay(SPEC, episode_limit=LIMIT, capacity=batch.n_episodes, reward_dim=1, generator=g) for g in seeds]
    for replay in buffers:
        replay.add(batch)
    return buffers[0].sample(batch.n_episodes), buffers[1].sample_rows(batch.n_episodes)


def steps_of(rows, batch):
    """(episode, step) of every row and of every step, found by the observations' numbers."""
    number = {float(batch.obs[b, t, 0, 0]): (b, t) for b, t in np.ndindex(batch.obs.shape[:2])}
    return [number[float(x)] for x in rows.obs[0, :, 0, 0]], [
        number[float(x)] for x in rows.of_steps(rows.obs)[0, :, 0, 0]
    ]


@given(LENGTHS, st.integers(0, 5))
def test_rows_of_a_replay_are_its_episodes_without_padding(lengths, seed):
    batch, rows = replayed(episodes(lengths, seed))
    every, own = steps_of(rows, batch)
    length = batch.mask.sum(1).tolist()
    assert sorted(every) == [(b, t) for b in range(len(lengths)) for t in range(length[b] + 1)]
    assert sorted(own) == [(b, t) for b in range(len(lengths)) for t in range(length[b])]
    assert [t for _, t in every] == sorted(t for _, t in every)
    assert rows.sizes == [sum(size >= t for size in length) for t in range(max(length) + 1)]
    for k, (b, t) in enumerate(own):
        for name in ("obs", "state", "available"):
            array = getattr(rows, name)
            assert torch.equal(rows.of_steps(array)[0, k], getattr(batch, name)[b, t])
            assert torch.equal(rows.ahead(array)[0, k], getattr(batch, name)[b, t + 1])
        for name in ("actions", "rewards", "terminated"):
            assert torch.equal(getattr(rows, name)[0, k], getattr(batch, name)[b, t])
        assert bool(rows.last[0, k]) == (t + 1 == length[b])
    assert (rows.mask, rows.n_steps) == (None, len(own))


@given(LENGTHS, st.sampled_from(["floats", "bytes"]))
def test_last_actions_and_places_are_those_of_the_episodes(lengths, kind):
    batch, rows = replayed(episodes(lengths))
    every, _ = steps_of(rows, batch)
    last, wanted = rows.last_actions(kind)[0], batch.last_actions(kind)
    assert all(torch.equal(last[k], wanted[b, t]) for k, (b, t) in enumerate(every))
    n_episodes, n_steps = rows.steps.shape
    order = [b for b, t in every if t == 0]  # of the padded episodes
    assert (n_episodes, n_steps) == tuple(batch.mask.shape)
    padded = rows.steps.unpack(rows.rewards)
    assert torch.equal(padded, (batch.rewards * batch.mask.unsqueeze(-1))[order])
    assert torch.equal(rows.steps.pack(padded), rows.rewards)


@pytest.mark.parametrize("lengths", [[LIMIT, 3] * 4, [LIMIT] * 6, [LIMIT] * 11 + [LIMIT - 1], [2, 1]], ids=str)
def test_rows_of_episodes_are_those_of_the_replay_or_padded(lengths):
    batch, wanted = replayed(episodes(lengths))
    rows = RowBatch.of(batch)
    padded = (~batch.mask).any() and (len(lengths) * (max(lengths) + 1) <= FEW or batch.mask.float().mean() > 0.9)
    if padded:
        assert rows.sizes == [len(lengths)] * (max(lengths) + 1)
        assert rows.mask.sum() == sum(lengths)
        assert torch.equal(rows.of_steps(rows.obs), batch.obs[:, :-1].transpose(0, 1).flatten(0, 1)[None])
        assert torch.equal(rows.ahead(rows.obs), batch.obs[:, 1:].transpose(0, 1).flatten(0, 1)[None])
        last = batch.mask & (continues_from_mask(batch.mask) == 0)
        assert torch.equal(rows.last, last.t().flatten()[None])
        return
    assert rows.sizes == wanted.sizes
    for name in ("obs", "state", "available", "actions", "rewards", "terminated", "last"):
        assert torch.equal(getattr(rows, name), getattr(wanted, name))
    for name in ("obs", "state", "available"):
        assert torch.equal(rows.of_steps(getattr(rows, name)), wanted.of_steps(getattr(wanted, name)))


def test_to_a_device_is_a_copy_of_all():
    batch = replayed(episodes([3, 1]))[1]
    there = batch.to("meta")
    arrays = {name for name, x in vars(batch).items() if isinstance(x, torch.Tensor)}
    assert arrays == {f.name for f in dataclasses.fields(RowBatch)} - {"mask", "sizes"}
    assert all(getattr(there, name).is_meta for name in arrays)
