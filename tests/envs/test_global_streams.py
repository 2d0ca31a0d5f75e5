"""Environments that draw from ``random`` and ``np.random``: an episode follows from its seed all the same."""

import random

import numpy as np
import pytest

from core.seeding import episode_seed
from envs.adapters.gymma_single import GymmaSingle
from envs.adapters.pettingzoo_single import PettingZooSingle
from envs.conformance import check_env
from envs.workers import global_streams
from envs.workers.global_streams import GlobalStreams, mix_seed
from envs.workers.shared_block import SharedBlock, anonymous_file
from envs.workers.worker import WorkerArgs, WorkerVecEnv

SEEDS = [episode_seed(1, "train_env", k) for k in range(7)]


@pytest.fixture(autouse=True)
def _own_generators():
    """Nobody else in this process notices."""
    before, state = np.random.get_bit_generator(), random.getstate()
    yield
    np.random.set_bit_generator(before)
    random.setstate(state)


@pytest.fixture
def make():
    envs = []

    def make(n_envs, n_workers, **kwargs):
        args = WorkerArgs(n_workers=n_workers)
        envs.append(WorkerVecEnv(n_envs, args, name="toy", factory="toy_envs:Gambler", kwargs=kwargs))
        return envs[-1]

    yield make
    for env in envs:
        env.close()


def episodes(env):
    """seed -> everything that was shown; a slot that is through takes the next seed."""
    waiting, running, shown = SEEDS[::-1], {}, {}
    step = None
    while waiting or running:
        free = [slot for slot in range(env.n_envs) if slot not in running and waiting]
        for slot in free[: len(waiting)]:
            running[slot] = waiting.pop()
            step = env.reset(np.array([slot]), np.array([running[slot]], np.uint64))
            shown[running[slot]] = [step.teams[0].obs[slot].tolist()]
        active = np.isin(np.arange(env.n_envs), list(running))
        step = env.step([np.zeros((env.n_envs, 2), np.int64)], active)
        for slot, seed in list(running.items()):
            shown[seed].append((step.teams[0].obs[slot].tolist(), step.teams[0].rewards[slot].tolist()))
            if step.terminated[slot]:
                del running[slot]
    return shown


def test_the_same_episodes_with_any_number_of_workers(make):
    one, two, three = (episodes(make(3, n)) for n in (1, 2, 3))
    assert one == two == three
    assert episodes(make(1, 1)) == one
    assert len({str(shown) for shown in one.values()}) == len(SEEDS)
    check_env(make(4, 2), other=make(1, 1))


def test_copies_are_built_alike_and_again_after_a_failure(make):
    env = make(3, 2)
    first = env.reset(np.arange(3), np.arange(3, dtype=np.uint64)).teams[0].obs[:, 0, 0].copy()
    assert len(set(first.tolist())) == 1
    for worker in env._workers:
        worker.end(0.0)
    env.step([np.zeros((3, 2), np.int64)], np.ones(3, bool))
    again = env.reset(np.arange(3), np.arange(3, dtype=np.uint64)).teams[0].obs[:, 0, 0]
    assert again.tolist() == first.tolist()


def play(streams, slots, n_turns):
    """Draw in turns from both generators; slot -> numbers, of slots that were started with seed 10 + slot."""
    drawn = {slot: [] for slot in slots}
    for slot in slots:
        with streams.turn(slot):
            streams.start(slot, 10 + slot)
            streams.started(slot)
    for _ in range(n_turns):
        for slot in slots:
            with streams.turn(slot):
                drawn[slot].append((random.gauss(0, 1), np.random.normal()))  # noqa: NPY002
    return drawn


def test_slots_do_not_notice_one_another():
    together = play(GlobalStreams(3), [0, 1, 2], 7)
    for slot, numbers in together.items():
        assert play(GlobalStreams(3), [slot], 7)[slot] == numbers
    alone = play(GlobalStreams(1), [0], 7)
    assert alone[0] == together[0]


def test_who_draws_late_is_noticed_at_the_next_reset(monkeypatch):
    monkeypatch.setattr(global_streams, "WATCHED_TURNS", 4)
    streams = GlobalStreams(2)
    play(streams, [0, 1], 0)
    for _ in range(5):
        with streams.turn(0):
            pass
    assert play(streams, [0, 1], 3) != play(GlobalStreams(2), [0, 1], 3), "nobody expected it: the price of speed"
    assert play(streams, [0, 1], 3) == play(GlobalStreams(2), [0, 1], 3)


def test_who_draws_in_resets_alone_is_not_handed_over(monkeypatch):
    """What a reset draws follows from its seed already; saving states would only take time."""
    monkeypatch.setattr(global_streams, "WATCHED_TURNS", 4)
    streams, states = GlobalStreams(2), []
    monkeypatch.setattr(random, "setstate", states.append)
    for k in range(9):
        with streams.turn(k % 2):
            streams.start(k % 2, k)
            random.random()
            streams.started(k % 2)
    assert len(states) <= 4


# -- seeds -----------------------------------------------------------------------------------------------------------


def test_seeds_fit_signed_32_bits():
    for seed in (2**31 - 2, 2**31 - 1, 2**31, 2**32 - 1, 2**64 - 1, *SEEDS):
        assert 0 <= mix_seed(seed) < 2**31 - 1
    assert [mix_seed(seed) for seed in (0, 7, 2**31 - 2)] == [0, 7, 2**31 - 2]


@pytest.mark.parametrize(
    "adapter",
    [
        lambda: GymmaSingle(key="toy_envs:Pair-v0", arguments={}, time_limit=None),
        lambda: PettingZooSingle(key="toy_envs", arguments={}, time_limit=None, own_state=False),
    ],
    ids=["gymma", "pettingzoo"],
)
def test_environments_get_such_seeds(adapter, monkeypatch):
    env, given = adapter(), []
    inner, block = env._env, SharedBlock(anonymous_file(), env.spec, 1)
    real = inner.reset
    monkeypatch.setattr(inner, "reset", lambda *, seed: given.append(seed) or real(seed=seed))
    for seed in (3, 2**32 - 1, 2**64 - 1):
        env.reset(seed, block.slot(0))
    assert given == [3, mix_seed(2**32 - 1), mix_seed(2**64 - 1)]
    assert max(given) < 2**31 - 1
