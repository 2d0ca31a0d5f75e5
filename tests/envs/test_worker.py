import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from core.errors import UserError
from envs.workers.worker import MAX_DEATHS_IN_A_ROW, WorkerArgs, WorkerVecEnv

GOOD, BAD = [1, 1], [2, 1]
SRC = Path(__file__).resolve().parents[2] / "src"


def make(n_envs=2, *, n_workers=None, timeout=60.0, **kwargs):
    args = WorkerArgs(n_workers=n_workers, worker_timeout=timeout)
    return WorkerVecEnv(n_envs, args, name="toy", factory="toy_envs:Toy", kwargs=kwargs)


def reset(env, slots=None):
    slots = np.arange(env.n_envs) if slots is None else np.array(slots)
    return env.reset(slots, (slots + 1).astype(np.uint64))


def step(env, *actions, active=None):
    return env.step([np.array(actions)], np.ones(env.n_envs, bool) if active is None else np.array(active))


def gone(pid):
    """True once the process has ended (a zombie that waits for its parent has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def all_gone(pids, within=10.0):
    deadline = time.monotonic() + within
    while not all(map(gone, pids)) and time.monotonic() < deadline:
        os.sched_yield()
    return all(map(gone, pids))


@pytest.fixture
def closing():
    envs = []
    yield lambda env: envs.append(env) or env
    for env in envs:
        env.close()


@pytest.mark.parametrize("n_workers", [1, 2, 3])
def test_steps_arrive_in_the_right_slots(closing, n_workers):
    env = closing(make(3, n_workers=n_workers))
    assert len(env.worker_pids) == n_workers
    team = env.spec.teams[0]
    assert (team.n_agents, team.n_actions, team.obs_dim, team.state_dim, team.reward_dim) == (2, 3, 3, 1, 2)
    first = reset(env)
    assert first.teams[0].obs[:, 0].tolist() == [[1, 0, 0], [2, 0, 0], [3, 0, 0]]
    out = step(env, [0, 0], [1, 1], [1, 2], active=[True, False, True])
    assert out is first, "buffers are reused"
    assert out.teams[0].obs[:, 1].tolist() == [[1, 1, 1], [2, 0, 1], [3, 1, 1]]
    assert out.teams[0].rewards.tolist() == [[1, 0], [0, 0], [1, 2]]
    for _ in range(3):
        out = step(env, GOOD, GOOD, GOOD)
    assert out.terminated.tolist() == [True, False, True]
    assert out.truncated.tolist() == [False, False, False]
    assert out.info["won"].tolist() == [1, 0, 1]
    out = step(env, GOOD, GOOD, GOOD, active=[False, True, False])
    assert out.truncated.tolist() == [False, True, False]


@pytest.mark.parametrize("mischief", ["raise", "exit"])
def test_a_failure_costs_one_episode_and_the_slot_works_again(closing, capfd, mischief):
    env = closing(make(2, n_workers=2, mischief=mischief))
    reset(env)
    out = step(env, GOOD, BAD)
    assert out.failed.tolist() == [False, True]
    assert out.teams[0].obs[:, 0, 1].tolist() == [1, 0]
    out = step(env, GOOD, GOOD)
    assert out.failed.tolist() == [False, True], "failed until the slot is reset"
    assert out.teams[0].obs[0, 0, 1] == 2
    out = reset(env, [1])
    assert out.failed.tolist() == [False, False]
    for _ in range(4):
        out = step(env, GOOD, GOOD, active=[False, True])
    assert out.truncated.tolist() == [False, True]
    warnings = [line for line in capfd.readouterr().err.splitlines() if line.startswith("Environment toy failed")]
    assert len(warnings) == 1
    assert ("deliberate" if mischief == "raise" else "exit code 1") in warnings[0]


@pytest.mark.parametrize(("mischief", "lost"), [("raise", [False, True]), ("exit", [True, True])])
def test_a_dead_worker_costs_all_its_slots_and_an_exception_one(closing, mischief, lost):
    env = closing(make(4, n_workers=2, mischief=mischief))
    reset(env)
    assert step(env, GOOD, BAD, GOOD, GOOD, active=[False, True, True, True]).failed.tolist() == [0, 1, 0, 0]
    assert step(env, GOOD, GOOD, GOOD, GOOD).failed.tolist() == [*lost, False, False]


def test_a_worker_that_hangs_is_replaced(closing, capfd):
    env = closing(make(2, n_workers=2, mischief="hang"))
    pids = env.worker_pids
    reset(env)
    env._timeout = 1.0
    assert step(env, BAD, GOOD).failed.tolist() == [True, False]
    assert all_gone(pids[:1])
    assert "gave no answer for 1 s" in capfd.readouterr().err
    env._timeout = 60.0
    reset(env, [0])
    assert step(env, GOOD, GOOD).failed.tolist() == [False, False]


def test_a_worker_killed_between_steps(closing):
    env = closing(make(2, n_workers=2))
    reset(env)
    os.kill(env.worker_pids[0], signal.SIGKILL)
    assert step(env, GOOD, GOOD).failed.tolist() == [True, False]
    reset(env, [0])
    assert not step(env, GOOD, GOOD).failed.any()


@pytest.mark.parametrize(("mischief", "reason"), [("raise", "ValueError: a deliberate error"), ("exit", "exit code 1")])
def test_failing_at_every_reset_is_the_users_to_mend(closing, mischief, reason):
    env = closing(make(1, mischief=mischief, in_reset=True))
    with pytest.raises(UserError, match="toy fails whenever it is reset") as error:
        reset(env)
    assert reason in str(error.value)


def test_one_failure_in_a_reset_is_tried_again(closing, tmp_path):
    env = closing(make(2, n_workers=1, mischief="raise", in_reset=True, marker=str(tmp_path / "works now")))
    out = reset(env)
    assert out.teams[0].obs[:, 0, 0].tolist() == [1, 2]
    assert not step(env, GOOD, GOOD).failed.any()


def test_a_worker_that_comes_back_with_other_sizes(closing, tmp_path):
    marker = tmp_path / "marker"
    env = closing(make(1, mischief="exit", at_start="grow", marker=str(marker)))
    reset(env)
    step(env, BAD)
    marker.touch()
    with pytest.raises(UserError, match="sizes differ from copy to copy"):
        reset(env)


def test_too_many_deaths_in_a_row(closing):
    env = closing(make(1, mischief="raise"))
    for _ in range(MAX_DEATHS_IN_A_ROW):
        reset(env)
        step(env, BAD)
    reset(env)
    for _ in range(4):
        step(env, GOOD)  # a finished episode forgives
    for _ in range(MAX_DEATHS_IN_A_ROW):
        reset(env)
        step(env, BAD)
    reset(env)
    with pytest.raises(UserError, match="failed 6 times without a finished episode") as error:
        step(env, BAD)
    assert "a deliberate error" in str(error.value)


@pytest.mark.parametrize(
    ("at_start", "reason"),
    [("raise", "RuntimeError: no luck today"), ("exit", "exit code 7"), ("torch", "torch imported: False")],
)
def test_a_start_that_fails(at_start, reason):
    with pytest.raises(UserError, match="Environment toy") as error:
        make(2, at_start=at_start)
    assert reason in str(error.value)


def test_rendering(closing):
    env = closing(make(2, n_workers=1, image=True))
    reset(env)
    step(env, GOOD, GOOD, active=[False, True])
    assert env.render(0).max() == 0
    assert env.render(1).shape == (4, 5, 3)
    assert env.render(1).min() == 1
    env = closing(make(1))
    reset(env)
    with pytest.raises(UserError, match="nothing to see"):
        env.render()
    assert not step(env, GOOD).failed.any()


def test_close_ends_the_workers_and_closes_the_environments(tmp_path):
    env = make(2, n_workers=2, marker=str(tmp_path / "closed"))
    reset(env)
    pids = env.worker_pids
    env.close()
    env.close()
    assert all_gone(pids)
    assert (tmp_path / "closed").exists()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(env._memory)  # it has no name, so that is all there is to give back


def test_close_ends_a_worker_that_hangs():
    env = make(1, mischief="hang", timeout=60)
    pids = env.worker_pids
    reset(env)
    env._block.command[:] = 1
    env._block.actions[:] = 2
    env._workers[0].signal()
    start = time.monotonic()
    env.close()
    assert all_gone(pids)
    assert time.monotonic() - start < 6


@pytest.mark.parametrize("end", ["kill", "exit", "sigterm", "hang"])
def test_no_orphans(end):
    """A parent that is killed, or forgets to close, leaves no process behind (shared memory has no name)."""
    script = (
        f"import sys; sys.path[:0] = [{str(SRC)!r}, {str(Path(__file__).parent)!r}]\n"
        "import numpy as np; from envs.workers.worker import WorkerArgs, WorkerVecEnv\n"
        "args, toy = WorkerArgs(n_workers=2), dict(name='toy', factory='toy_envs:Toy', kwargs={'mischief': 'hang'})\n"
        "env = WorkerVecEnv(2, args, **toy)\n"
        "env.reset(np.arange(2), np.arange(2, dtype=np.uint64))\n"
        "print(*env.worker_pids, flush=True)\n"
        + {"exit": "sys.exit()", "hang": "env.step([np.full((2, 2), 2)], np.ones(2, bool))"}.get(
            end, "sys.stdin.read()"
        )
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    if end in ("kill", "hang"):
        parent.kill()
    elif end == "sigterm":
        parent.terminate()
    parent.communicate()
    assert all_gone(pids, within=20)


def test_ctrl_c_does_not_reach_the_workers(closing):
    env = closing(make(1))
    reset(env)
    os.kill(env.worker_pids[0], signal.SIGINT)
    assert not step(env, GOOD).failed.any()


# -- what is not a number --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mischief", "named"),
    [
        ("obs nan", "the observation of agent 1 is nan in step 2 (entry 1)"),
        ("obs -inf", "the observation of agent 1 is -inf (infinite, or too large for float32) in step 2 (entry 1)"),
        ("reward 1e39", "the reward of agent 1 is inf (infinite, or too large for float32) in step 2"),
        ("state nan", "the state is nan in step 2 (entry 0)"),
    ],
)
def test_what_is_no_number_costs_one_episode(closing, capfd, mischief, named):
    env = closing(make(2, n_workers=1, mischief=mischief))
    reset(env)
    assert not step(env, GOOD, GOOD).failed.any()
    out = step(env, GOOD, BAD)
    assert out.failed.tolist() == [False, True]
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("Environment toy failed")]
    assert line.endswith(named)
    for array in vars(out.teams[0]).values():
        assert np.isfinite(array).all()
    assert not reset(env, [1]).failed.any()
    assert not step(env, GOOD, GOOD).failed.any()


def test_large_numbers_are_numbers(closing):
    env = closing(make(1, mischief="obs 3e38"))  # its square is beyond float32
    reset(env)
    assert not step(env, BAD).failed.any()


def test_info_counts_at_the_end_of_an_episode(closing, capfd):
    env = closing(make(2, n_workers=1, mischief="info nan"))
    reset(env)
    for _ in range(3):
        assert not step(env, BAD, BAD).failed.any()
    assert step(env, GOOD, BAD).failed.tolist() == [False, True]
    assert "info['won'] is nan at the end of the episode, in step 4" in capfd.readouterr().err


def test_no_number_in_a_first_observation_costs_that_episode_and_many_in_a_row_the_run(closing):
    env = closing(make(3, n_workers=2, mischief="obs nan", in_reset=True, limit=1))  # of the seeds 3, 6, ...
    assert not reset(env).failed.any()
    assert step(env, GOOD, GOOD, GOOD).failed.tolist() == [False, False, True]
    out = env.reset(np.array([2]), np.array([4], np.uint64))
    assert out.teams[0].obs[2, 0].tolist() == [4, 0, 0]
    out = step(env, GOOD, GOOD, GOOD, active=[False, False, True])
    assert out.truncated[2], "a finished episode forgives"
    for _ in range(MAX_DEATHS_IN_A_ROW + 2):  # and one failure for each of the other slots
        env.reset(np.array([2]), np.array([6], np.uint64))
        assert step(env, GOOD, GOOD, GOOD, active=[False, False, True]).failed[2]
    with pytest.raises(UserError, match="the last time the observation of agent 1 is nan after the reset"):
        env.reset(np.array([2]), np.array([9], np.uint64))


def test_slots_that_fail_together_are_no_row(closing):
    env = closing(make(12, n_workers=1, mischief="obs nan"))
    reset(env)
    assert step(env, *[BAD] * 11, GOOD).failed.sum() == 11
    for _ in range(3):
        out = step(env, *[GOOD] * 12, active=[*[False] * 11, True])
    assert (out.terminated | out.truncated)[11]


def test_a_reset_that_fails_once_in_a_while_costs_its_episode(closing, tmp_path):
    marker = tmp_path / "works"
    marker.touch()
    env = closing(make(1, mischief="exit", in_reset=True, marker=str(marker), limit=1))
    reset(env)
    marker.unlink()
    reset(env)  # twice in vain
    marker.touch()
    assert step(env, GOOD).failed.all()
    assert not reset(env).failed.any()
    assert step(env, GOOD).terminated.all()
