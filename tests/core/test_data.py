"""Batches: what is computed of one is computed once, and never that of another."""

import copy
import dataclasses
import pickle

import pytest
import torch

from core.data import EpisodeBatch
from core.packing import Packing


def batch_of(lengths, n_steps=30):
    n_episodes, mask = len(lengths), torch.arange(n_steps) < torch.tensor(lengths)[:, None]
    generator = torch.Generator().manual_seed(0)
    return EpisodeBatch(
        obs=torch.randn(n_episodes, n_steps + 1, 2, 3, generator=generator),
        state=torch.randn(n_episodes, n_steps + 1, 4, generator=generator),
        available=torch.ones(n_episodes, n_steps + 1, 2, 5, dtype=torch.bool),
        actions=torch.zeros(n_episodes, n_steps, 2, dtype=torch.int64),
        rewards=torch.zeros(n_episodes, n_steps, 1),
        terminated=torch.zeros(n_episodes, n_steps, dtype=torch.bool),
        mask=mask,
    )


def read(batch):
    """What a batch keeps of itself."""
    return batch.rows, batch.packing, batch.step_packing


def test_a_batch_is_packed_once(monkeypatch):
    packed, of = [], Packing.of
    monkeypatch.setattr(Packing, "of", lambda real: packed.append(real) or of(real))
    batch = batch_of([5, 30, 9])
    for _ in range(3):
        read(batch)
    assert [real.shape for real in packed] == [(3, 31), (3, 30)]


CHANGES = {
    "replaced": lambda batch: dataclasses.replace(batch, mask=batch_of([30, 2, 4]).mask),
    "of an agent": lambda batch: batch.of_agents(torch.tensor([1])),
    "moved": lambda batch: batch.to("cpu"),
    "copied": copy.deepcopy,
    "pickled": lambda batch: pickle.loads(pickle.dumps(batch)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_batch_keeps_its_own(change):
    batch = batch_of([5, 30, 9])
    read(batch)
    other = CHANGES[change](batch)
    rows, packing, step_packing = read(other)
    assert torch.equal(rows[:, 1:], other.mask)
    for found, real in ((packing, rows), (step_packing, other.mask)):
        wanted = Packing.of(real)
        assert torch.equal(found.index, wanted.index)
        assert (found.sizes, found.shape) == (wanted.sizes, wanted.shape)


def test_what_it_keeps_of_itself_is_no_array_of_it():
    batch = batch_of([5, 30, 9])
    before = batch.tensors().keys()
    read(batch)
    assert batch.tensors().keys() == before
