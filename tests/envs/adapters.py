"""Adapters in this process, without workers."""

import numpy as np

from envs.adapters.gymma_single import GymmaSingle
from envs.adapters.pettingzoo_single import PettingZooSingle
from envs.workers.shared_block import Slot


def single(key, *, time_limit=None, state="joint_obs", **arguments):
    """Build the adapter of a toy: Gymnasium's form where the key ends with a version."""
    adapter = GymmaSingle if key.endswith("-v0") else PettingZooSingle
    return adapter(key=f"foreign_envs:{key}", arguments=arguments, time_limit=time_limit, own_state=state == "env")


def slot(spec):
    """Return a slot of its own memory, with rubbish in it."""
    return Slot(
        obs=np.full((spec.n_agents, spec.obs_dim), 5, np.float32),
        state=np.full(spec.state_dim, 5, np.float32),
        available=np.zeros((spec.n_agents, spec.n_actions), bool),
        rewards=np.full(spec.reward_dim, 5, np.float32),
        info=np.zeros(0, np.float32),
    )


def play(env, *, seed=1, steps=50, choose=lambda available: available.argmax(1)):
    """Play an episode; returns its rows, reset first: obs, available, state, rewards, flags, numbers."""
    out, rows = slot(env.spec), []
    for t in range(steps + 1):
        out.numbers.clear()
        flags = (False, False)
        if t:
            flags = env.step(choose(out.available).tolist(), out)
        else:
            env.reset(seed, out)
        arrays = {name: getattr(out, name).copy() for name in ("obs", "available", "state", "rewards")}
        rows.append({**arrays, "flags": flags, "numbers": dict(out.numbers)})
        if any(flags):
            break
    return rows
