"""The memory that a run shares with its worker processes, and what one environment looks like inside a worker.

Workers import this module, so it must not import torch (nor ``core.data``, which does).
"""

from __future__ import annotations

import mmap
import os
import tempfile
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from core.kinds import DTYPE, Kind

IDLE, STEP, RESET = 0, 1, 2
"""What a worker does with a slot at the next signal."""

_ALIGNMENT = 64  # bytes of a cache line


@dataclass(frozen=True, kw_only=True)
class SingleSpec:
    """Sizes of one environment inside a worker; meanings as in ``core.data.TeamSpec`` and ``EnvSpec``.

    Attributes:
        state_dim: entries of the environment's own state; 0 where the state is all observations in a row.
        obs_kind, state_kind: how their numbers are kept.
        agents: their names, for messages; empty where they have none.
        can_record: whether it has ``save_replay(folder) -> file``, a recording in a format of its own.
        notes: what a user should know of it; said once.
    """

    n_agents: int
    n_actions: int
    obs_dim: int
    state_dim: int
    reward_dim: int
    episode_limit: int
    obs_kind: Kind = "floats"
    state_kind: Kind = "floats"
    info_keys: tuple[str, ...] = ()
    can_render: bool = False
    can_record: bool = False
    agents: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One environment's rows of the shared block. An environment writes its results here, in place.

    Attributes:
        obs: float32 or uint8 [A, O], as ``SingleSpec.obs_kind`` says.
        state: float32 or uint8 [S], only for environments with a state of their own.
        available: bool [A, U].
        rewards: float32 [R].
        info: float32 [K], in the order of ``SingleSpec.info_keys``; written when an episode ends.
        numbers: name -> value, of an episode that ends: what it reports beside ``info_keys``, which may differ from
            episode to episode. Empty at the beginning of every step.
    """

    obs: np.ndarray
    state: np.ndarray
    available: np.ndarray
    rewards: np.ndarray
    info: np.ndarray
    numbers: dict[str, float] = field(default_factory=dict)


class SingleEnv(Protocol):
    """One environment inside a worker process: what an adapter has to supply."""

    spec: SingleSpec

    def reset(self, seed: int, out: Slot) -> None:
        """Start an episode that depends on ``seed`` (uint64) alone; write obs, state and available."""
        ...

    def step(self, actions: list[int], out: Slot) -> tuple[bool, bool]:
        """Step with one action per agent; write everything; return (terminated, truncated), never both."""
        ...

    def render(self) -> np.ndarray:
        """Draw: uint8 [H, W, 3]."""
        ...

    def close(self) -> None:
        """Give back what the environment holds."""
        ...


class SharedBlock:
    """All arrays that pass between a run and its workers, as NumPy views of one anonymous shared file.

    The file has no name (a memory file, or a deleted temporary file where the system has none), so
    nothing is left behind whichever way the processes end.
    """

    def __init__(self, descriptor: int, spec: SingleSpec, n_envs: int) -> None:
        """Map the file (grown to the size that ``spec`` and ``n_envs`` need)."""
        n, a = n_envs, spec.n_agents
        layout: dict[str, tuple[type, tuple[int, ...]]] = {
            "command": (np.uint8, (n,)),
            "seeds": (np.uint64, (n,)),
            "actions": (np.int64, (n, a)),
            "obs": (DTYPE[spec.obs_kind], (n, a, spec.obs_dim)),
            "state": (DTYPE[spec.state_kind], (n, spec.state_dim)),
            "available": (np.bool_, (n, a, spec.n_actions)),
            "rewards": (np.float32, (n, spec.reward_dim)),
            "terminated": (np.bool_, (n,)),
            "truncated": (np.bool_, (n,)),
            "failed": (np.bool_, (n,)),
            "info": (np.float32, (len(spec.info_keys), n)),
        }
        offsets, size = {}, 0
        for name, (dtype, shape) in layout.items():
            offsets[name] = size
            bytes_needed = int(np.prod(shape)) * np.dtype(dtype).itemsize
            size += -(-bytes_needed // _ALIGNMENT) * _ALIGNMENT
        if os.fstat(descriptor).st_size < size:
            os.ftruncate(descriptor, size)
        memory = mmap.mmap(descriptor, size)
        views = {
            name: np.ndarray(shape, dtype, buffer=memory, offset=offsets[name])
            for name, (dtype, shape) in layout.items()
        }
        self.command, self.seeds, self.actions = views["command"], views["seeds"], views["actions"]
        self.obs, self.state, self.available = views["obs"], views["state"], views["available"]
        self.rewards, self.info = views["rewards"], views["info"]
        self.terminated, self.truncated, self.failed = views["terminated"], views["truncated"], views["failed"]

    def slot(self, index: int) -> Slot:
        """Return the rows of one environment."""
        return Slot(
            obs=self.obs[index],
            state=self.state[index],
            available=self.available[index],
            rewards=self.rewards[index],
            info=self.info[:, index],
        )


def anonymous_file() -> int:
    """Return the descriptor of an empty file without a name, inheritable where asked for."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("environments")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
