"""SePS's autoencoder on made-up agents: what makes a type, what must not, and which steps count."""

import numpy as np
import pytest
import torch

from core.data import EpisodeBatch, TeamSpec
from core.errors import UserError
from learners.seps import PARTS, SePSSettings, Transitions, embeddings, find_groups

OBS, U = 4, 3
QUICK = SePSSettings(seps_steps=1600, seps_lr=3e-3, seps_batch_size=64, seps_epochs=8)


def spec(n_agents, obs_dim=OBS):
    return TeamSpec(name="agents", n_agents=n_agents, n_actions=U, obs_dim=obs_dim, state_dim=1, reward_dim=1)


def episodes(types, *, seed=0, n=80, length=20, labels=None, paid=False):
    """Entry 0 goes where the action says, for type k by another map; the others are noise.

    Args:
        types: of every agent.
        seed, n, length: of the episodes.
        labels: an agent's own constant entries [A, L], behind the others.
        paid: types differ by their rewards instead.
    """
    rng, n_agents = np.random.default_rng(seed), len(types)
    actions = rng.integers(U, size=(n, length, n_agents))
    moves = np.array([[-1.0, 0.0, 1.0], [1.0, -1.0, 0.0], [0.0, 1.0, -1.0]])
    felt = moves[np.array(types), actions]
    obs = rng.normal(size=(n, length + 1, n_agents, OBS))
    obs[:, 1:, :, 0] = 0.5 * obs[:, :-1, :, 0] + (moves[0][actions] if paid else felt)
    if labels is not None:
        obs = np.concatenate([obs, np.broadcast_to(labels, (*obs.shape[:-1], np.shape(labels)[1]))], -1)
    rewards = felt if paid else rng.normal(size=(n, length, 1))
    return EpisodeBatch(
        obs=torch.tensor(obs, dtype=torch.float32),
        state=torch.zeros(n, length + 1, 1),
        available=torch.ones(n, length + 1, n_agents, U, dtype=torch.bool),
        actions=torch.tensor(actions),
        rewards=torch.tensor(rewards, dtype=torch.float32),
        terminated=torch.zeros(n, length, dtype=torch.bool),
        mask=torch.ones(n, length, dtype=torch.bool),
    )


def gathered(batch, settings=QUICK):
    one = spec(batch.actions.shape[2], batch.obs.shape[-1])
    data = Transitions(one, settings, np.random.default_rng(0))
    data.add(batch)
    return data


def groups(batch, seed=0, settings=QUICK):
    return find_groups(gathered(batch, settings), settings, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("paid", [False, True])
@pytest.mark.parametrize(
    "types", [(0, 0), (0, 1), (0, 0, 1, 1), (0, 1, 0, 2, 1, 0), (0, 1, 2), (0,) * 6, (0, 0, 0, 0, 0, 0, 1, 1)]
)
def test_types_are_found(types, paid):
    """By what their actions do, or bring; one group where all are alike, as many as agents where all differ."""
    assert groups(episodes(types, seed=1, paid=paid), seed=1) == types


def test_names_make_no_types_and_hide_none():
    """An agent's number, and the word for its type: beside them z would have nothing to say, of them not be silent."""
    own, kinds = np.eye(4), np.eye(2)[[0, 0, 1, 1]]
    assert groups(episodes((0, 0, 0, 0), labels=own)) == (0, 0, 0, 0)
    assert groups(episodes((0, 0, 1, 1), labels=own)) == (0, 0, 1, 1)
    assert groups(episodes((0, 0, 1, 1), labels=kinds)) == (0, 0, 1, 1)
    x, y, _ = gathered(episodes((0, 0, 1, 1), labels=kinds)).rows()
    assert (x.shape[1], y.shape[1]) == (OBS + U, OBS + 1)


def test_the_same_generator_gives_the_same_embeddings_and_nothing_else_moves():
    data, state = gathered(episodes((0, 1))), torch.get_rng_state()
    runs = [embeddings(data, QUICK, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert runs[0].shape == (2, PARTS, QUICK.seps_z_dim)
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).any()
    assert torch.equal(torch.get_rng_state(), state)


def test_padding_and_the_dead_do_not_count():
    batch = episodes((0, 1))
    batch.mask[:, 12:] = False
    batch.available[::2, 5:12, 1, 1:] = False  # agent 1 is dead in every second episode from step 5 on
    batch.obs[:, 13:], batch.actions[:, 12:], batch.rewards[:, 12:] = 1e6, 0, 1e6
    batch.obs[::2, 6:12, 1] = 1e6
    x, y, ids = gathered(batch).rows()
    assert torch.bincount(ids // PARTS).tolist() == [80 * 12, 40 * 12 + 40 * 5]
    assert torch.bincount(ids % PARTS).tolist() == [20 * 12 + 20 * 5, 20 * 24] * 2
    seen, said = x[:, :OBS], y[:, :OBS]
    torch.testing.assert_close(seen.mean(0), torch.zeros(OBS), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen.std(0, correction=0), torch.ones(OBS), atol=1e-3, rtol=0)
    assert said.abs().max() <= 20


def test_what_is_said_is_the_change_and_the_reward():
    batch = episodes((0, 1), n=8, length=3)
    x, y, ids = gathered(batch).rows()
    obs = batch.obs[:, :-1].reshape(-1, OBS)
    mean, deviation = obs.mean(0), obs.std(0, correction=0)
    first = (batch.obs[0, :2, 0] - mean) / deviation
    torch.testing.assert_close(x[0, :OBS], first[0])
    torch.testing.assert_close(y[0, :OBS], first[1] - first[0])
    assert x[0, OBS:].tolist() == [float(k == batch.actions[0, 0, 0]) for k in range(U)]
    rewards = batch.rewards
    torch.testing.assert_close(y[0, OBS], (rewards[0, 0, 0] - rewards.mean()) / rewards.std(correction=0))
    assert y[0, OBS] == y[1, OBS]  # a team's reward is everybody's
    assert ids[:2].tolist() == [0, PARTS]


def test_of_too_many_steps_an_even_share_is_kept(monkeypatch):
    monkeypatch.setattr("learners.seps.ROWS", 1000)
    data = Transitions(spec(2), QUICK, np.random.default_rng(0))
    for part in range(4):
        data.add(episodes((0, 1), seed=part, n=20))  # a quarter of seps_steps each
    ids = data.rows()[2]
    assert len(ids) == 1000
    assert np.bincount(ids.numpy()).min() > 80


def test_agents_that_never_choose_and_fits_that_diverge():
    batch = episodes((0, 1))
    batch.available[:, :, 1, 1:] = False
    with pytest.raises(UserError, match=r"agent 1 of 'agents' had a choice .* too few .*larger seps_steps"):
        gathered(batch).rows()
    with pytest.raises(UserError, match=r"diverged: give a smaller seps_lr than 1e\+30"):
        groups(episodes((0, 1)), settings=QUICK.model_copy(update={"seps_lr": 1e30}))
