"""Environments in worker processes, seen from the run: a ``VecEnv`` whose slots live elsewhere.

Workers are fresh interpreters that never see the run's main module, torch or its threads. Signals are
single bytes over socket pairs: about 20 microseconds for a round, no busy waiting (which would take the only
core from the worker on small machines), and a dead worker shows as end of file at once.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import time
import weakref
from collections import ChainMap
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from core.data import EnvSpec, TeamSpec, TeamStep, TimeStep
from core.errors import UserError
from core.settings import Section
from envs.workers.failure import Failure
from envs.workers.notices import say
from envs.workers.numbers import Numbers
from envs.workers.shared_block import IDLE, RESET, STEP, SharedBlock, SingleSpec, anonymous_file
from envs.workers.worker_handle import Worker, WorkerDied, shut_down
from envs.workers.worker_process import RENDER, Assignment, Reply

MAX_DEATHS_IN_A_ROW = 5


class WorkerArgs(Section):
    """Settings of every environment that runs in worker processes."""

    n_workers: int | None = Field(None, ge=1, description="worker processes; null: one per usable core, at most n_envs")
    worker_timeout: float = Field(300.0, gt=0, description="seconds without an answer until a worker is replaced")


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def env_spec(single: SingleSpec) -> EnvSpec:
    """Return the public spec of an environment with one team, "agents"."""
    team = TeamSpec(
        name="agents",
        n_agents=single.n_agents,
        n_actions=single.n_actions,
        obs_dim=single.obs_dim,
        state_dim=single.state_dim or single.n_agents * single.obs_dim,
        reward_dim=single.reward_dim,
        state_is_joint_obs=single.state_dim == 0,
        obs_kind=single.obs_kind,
        state_kind=single.state_kind if single.state_dim else single.obs_kind,
    )
    return EnvSpec(
        teams=(team,),
        episode_limit=single.episode_limit,
        info_keys=single.info_keys,
        can_render=single.can_render,
        can_record=single.can_record,
    )


class WorkerVecEnv:
    """N environments spread over worker processes; several per process are stepped one after another.

    A worker that dies, or gives no answer within ``worker_timeout``, costs the episodes that it was running
    (``failed`` in the next step of each); it is started again at the next reset. An environment that raises,
    or gives numbers that are none costs its own episode alone.

    Raises:
        UserError: the environment cannot be started, or its first reset fails twice; or more than
            ``MAX_DEATHS_IN_A_ROW`` failures, and as many as there are other slots, came without a finished
            episode between them.
    """

    Args: ClassVar[type[WorkerArgs]] = WorkerArgs

    def __init__(
        self,
        n_envs: int,
        args: WorkerArgs,
        *,
        name: str,
        factory: str,
        kwargs: dict[str, Any],
        numbers: Numbers | None = None,
    ) -> None:
        """Start the workers and learn the sizes.

        Args:
            n_envs: N.
            args: settings of the workers.
            name: what errors call the environment.
            factory: "module:Class" of the :class:`~envs.workers.shared_block.SingleEnv`.
            kwargs: its keyword arguments, picklable.
            numbers: which of the numbers that its episodes report are kept; None: it reports none.
        """
        self.n_envs = n_envs
        self._name = name
        self._timeout = args.worker_timeout
        self._deaths = 0
        self._warned = self._worked = False
        self._lost = np.zeros(n_envs, bool)  # slots whose episode died and that were not reset since
        self._memory = anonymous_file()
        n_workers = min(n_envs, args.n_workers or usable_cores())
        bounds = [n_envs * i // n_workers for i in range(n_workers + 1)]
        self._workers = [
            Worker(Assignment(factory=factory, kwargs=kwargs, first=a, count=b - a), self._memory, n_envs)
            for a, b in itertools.pairwise(bounds)
        ]
        self._finalizer = weakref.finalize(self, shut_down, self._workers, self._memory, os.getpid())
        try:
            self._single = self._start(self._workers)
        except BaseException:
            self.close()
            raise
        for note in self._single.notes:
            say(name, note)
        self.spec = env_spec(self._single)
        self._block = SharedBlock(self._memory, self._single, n_envs)
        self._block.available[:] = True
        self._numbers = numbers or Numbers(n_envs, name=name, wanted=(), limit=0)
        self._time_step = self._view()

    def _start(self, workers: Sequence[Worker]) -> SingleSpec:
        for worker in workers:
            worker.launch()
        specs = []
        for worker in workers:
            try:
                specs.append(worker.receive_spec(self._timeout))
            except WorkerDied as death:
                raise UserError(f"Environment {self._name}: its worker process {death}, while it started.") from None
            except UserError as error:
                raise UserError(f"Environment {self._name}: {error}") from None
        first = getattr(self, "_single", specs[0])  # a worker that is started again must be as it was
        for worker, spec in zip(workers, specs, strict=True):
            if spec != first:
                raise UserError(f"Environment {self._name}: its sizes differ from copy to copy: {first}, {spec}.")
            worker.hand_spec(spec)
        return specs[0]

    def _view(self) -> TimeStep:
        block = self._block
        joint = block.obs.reshape(self.n_envs, -1)
        state = block.state if self._single.state_dim else joint
        team = TeamStep(obs=block.obs, state=state, available=block.available, rewards=block.rewards)
        own: dict[str, np.ndarray] = {key: block.info[i] for i, key in enumerate(self._single.info_keys)}
        info = ChainMap(self._numbers.columns, own)
        return TimeStep(
            teams=(team,), terminated=block.terminated, truncated=block.truncated, failed=block.failed, info=info
        )

    def reset(self, slots: np.ndarray, seeds: np.ndarray) -> TimeStep:
        """Start new episodes in ``slots`` (int64 [K]) from ``seeds`` (uint64 [K]).

        Raises:
            UserError: an environment failed twice, and it never worked before or says that the user must mend it.
        """
        block = self._block
        self._numbers.clear(slots)
        block.command[:] = IDLE
        block.command[slots] = RESET
        block.seeds[slots] = seeds
        reasons = self._round()
        if reasons:
            block.command[:] = IDLE
            block.command[np.intersect1d(list(reasons), slots)] = RESET
            reasons = self._round(again=True)
        self._check_hope(reasons)
        self._lost[slots] = block.failed[slots] = False
        if reasons:  # these episodes are reported as failed by the next step
            lost = np.zeros(self.n_envs, bool)
            lost[list(reasons)] = True
            self._lost |= lost
            self._blank(lost)
        return self._time_step

    def _check_hope(self, reasons: Mapping[int, Failure]) -> None:
        """Find out whether another try makes sense after these slots failed twice in a reset."""
        for failure in reasons.values():
            if failure.hopeless or not (self._worked or failure.once):
                raise UserError(f"Environment {self._name} fails whenever it is reset: {failure.reason}")
        self._worked = True

    def step(self, actions: Sequence[np.ndarray], active: np.ndarray) -> TimeStep:
        """Step the slots where ``active`` (bool [N]) holds; ``actions[0]`` is int64 [N, A].

        Raises:
            UserError: too many failures without a finished episode between them.
        """
        block = self._block
        block.actions[...] = actions[0]
        block.command[...] = active  # STEP is 1
        if self._lost.any():
            lost = active & self._lost
            block.command[lost] = IDLE
            self._fail(lost)
        reasons = self._round()
        if reasons:
            failed = np.zeros(self.n_envs, bool)
            failed[list(reasons)] = True
            self._fail(failed & (block.command == STEP))
        if self._deaths and (active & (block.terminated | block.truncated)).any():
            self._deaths = 0
        return self._time_step

    def _fail(self, slots: np.ndarray) -> None:
        """Report these slots (bool [N]) as failed, with harmless rows."""
        self._block.failed[slots] = True
        self._blank(slots)

    def _blank(self, slots: np.ndarray) -> None:
        """Harmless rows for these slots (bool [N])."""
        block = self._block
        block.terminated[slots] = block.truncated[slots] = False
        for array in (block.obs, block.state, block.rewards):
            array[slots] = 0.0
        block.available[slots] = True

    def _round(self, *, again: bool = False) -> dict[int, Failure]:
        """Let the workers do the block's commands; return slot -> why, of every episode lost in it.

        Failures count, unless it is ``again`` of the same episodes.
        """
        command, reasons = self._block.command, dict[int, Failure]()
        called = [worker for worker in self._workers if command[worker.slots].any()]
        dead = [worker for worker in called if not worker.running]
        if dead:
            self._start(dead)
        for worker in called:
            worker.signal()
        deadline = time.monotonic() + self._timeout
        for worker in called:
            try:
                report = worker.answer(deadline, self._timeout)
                errors = report.errors
            except WorkerDied as death:
                failure = Failure(reason=f"its worker process {death}")
                errors = dict.fromkeys(range(worker.slots.start, worker.slots.stop), failure)
                counted = [failure]
            else:
                counted = list(report.errors.values())
                for slot, numbers in report.numbers.items():
                    self._numbers.store(slot, numbers)
            for failure in () if again else counted:
                self._count(failure.reason)
            reasons.update(errors)
        if reasons:
            self._lost[list(reasons)] = True
        return reasons

    def _count(self, reason: str) -> None:
        self._deaths += 1
        if self._deaths > MAX_DEATHS_IN_A_ROW + self.n_envs - 1:  # slots that start together also fail together
            raise UserError(
                f"Environment {self._name} failed {self._deaths} times without a finished episode in between; "
                f"the last time {reason}"
            )
        if not self._warned:
            self._warned = True
            last_line = reason.strip().splitlines()[-1]
            print(f"Environment {self._name} failed, its episode is dropped: {last_line}", file=sys.stderr)

    def render(self, slot: int = 0) -> np.ndarray:
        """Draw one environment: uint8 [H, W, 3].

        Raises:
            UserError: it cannot be drawn.
        """
        return self._ask(slot, RENDER, failure="cannot be drawn")

    def _ask(self, slot: int, request: bytes, *arguments: str, failure: str) -> Any:
        """Let the worker of ``slot`` do a request beside the rounds; UserError with ``failure`` where it cannot."""
        worker = next(worker for worker in self._workers if worker.slots.start <= slot < worker.slots.stop)
        try:
            reply = worker.ask(request, slot, *arguments, timeout=self._timeout)
        except WorkerDied as death:
            self._lost[worker.slots] = True
            reply = Reply(error=f"its worker process {death}")
        if reply.error:
            raise UserError(f"Environment {self._name} {failure}: {reply.error}")
        return reply.value

    def close(self) -> None:
        """End the workers, within a few seconds; calling it twice is harmless."""
        with contextlib.suppress(AttributeError):  # a constructor that failed early
            self._finalizer()

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the running workers."""
        return [worker.pid for worker in self._workers if worker.running]
