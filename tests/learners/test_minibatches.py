"""Minibatches are the rows that they name, of everything."""

from dataclasses import replace

import torch

from learners.minibatches import EVERY, draw, minibatches


def rows_of(n_episodes=5, n=3):
    return draw(n_episodes, n, torch.Generator().manual_seed(0), torch.device("cpu"))


def test_parts_of_tensors_tuples_and_batches(world):
    batch, rows = world.some_batch(), rows_of(4)
    batch = replace(batch, policies=torch.arange(8).view(4, 2), rivals=(batch,))
    for k, part in enumerate(minibatches((batch, (batch.actions, 3, None)), rows)):
        for name, x in batch.tensors().items():
            assert torch.equal(part[0].tensors()[name], x[rows[k]])
        assert torch.equal(part[0].rivals[0].obs, batch.obs[rows[k]])
        assert torch.equal(part[1][0], batch.actions[rows[k]])
        assert part[1][1:] == (3, None)
    assert minibatches(batch, [EVERY]) == [batch]


def test_what_was_read_of_a_batch_once_is_handed_to_its_parts(world):
    batch, rows = world.batch([[0, 1, 2]] * 4, [2] * 4, [True] * 4, masked=False), rows_of(4)
    batch.kept["reader"], batch.kept["other"] = batch.obs + 1, "no tensor"
    batch.kept["packed"] = batch.obs.flatten(0, 1).unsqueeze(0)
    for k, part in enumerate(minibatches(batch, rows)):
        assert part.kept.keys() == {"reader"}
        assert torch.equal(part.kept["reader"], batch.obs[rows[k]] + 1)
