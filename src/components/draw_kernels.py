"""Draws from PyTorch's own stream of random numbers, made where they are needed alone.

A draw among U actions takes U numbers of the stream. Most actions are not available on large maps, so that most numbers
would be made, turned into noise and thrown away: here they are stepped over. The generator is MT19937 (Matsumoto and
Nishimura 1998); PyTorch keeps its 624 words, and how many are left, as ``torch.Generator.get_state`` has them.
"""

from __future__ import annotations

import math

import numpy as np

from core.compiling import vector_kernel

N, M = 624, 397
UPPER, LOWER, TWIST = np.uint32(0x80000000), np.uint32(0x7FFFFFFF), np.uint32(0x9908B0DF)
ONE32, LOW32, LOW53 = np.uint32(1), np.uint64(0xFFFFFFFF), np.uint64((1 << 53) - 1)
LEFT, NEXT, WORDS, LENGTH = 1, 2, 3, 632  # places among the state's 64-bit numbers, and how many these are
SMALLEST = np.float32(np.finfo(np.float32).tiny)


@vector_kernel
def twist(first: np.ndarray, second: np.ndarray, far: np.ndarray, out: np.ndarray) -> None:
    """Some words of the next state; all uint32 [K], apart in memory from ``out``, which is written."""
    for k in range(len(out)):
        y = (first[k] & UPPER) | (second[k] & LOWER)
        out[k] = far[k] ^ (y >> ONE32) ^ (TWIST if y & ONE32 else np.uint32(0))


@vector_kernel
def refill(words: np.ndarray, old: np.ndarray) -> None:
    """The next 624 words, in place; ``old`` uint32 [624] is scratch."""
    for k in range(N):
        old[k] = words[k]
    near = N - M
    twist(old[:near], old[1 : near + 1], old[M:], words[:near])
    twist(old[near : 2 * near], old[near + 1 : 2 * near + 1], words[:near], words[near : 2 * near])
    twist(old[2 * near : -1], old[2 * near + 1 :], words[near : M - 1], words[2 * near : -1])
    twist(old[-1:], words[:1], words[M - 1 : M], words[-1:])


@vector_kernel
def skip(words: np.ndarray, old: np.ndarray, at: int, n: int) -> int:
    """Step over n words."""
    while at + n > N:
        n -= N - at
        refill(words, old)
        at = 0
    return at + n


@vector_kernel
def word(words: np.ndarray, at: int) -> np.uint64:
    """The word at a place, tempered."""
    y = words[at]
    y ^= y >> np.uint32(11)
    y ^= (y << np.uint32(7)) & np.uint32(0x9D2C5680)
    y ^= (y << np.uint32(15)) & np.uint32(0xEFC60000)
    y ^= y >> np.uint32(18)
    return np.uint64(np.uint32(y))


@vector_kernel
def noise(words: np.ndarray, old: np.ndarray, at: int) -> tuple[np.float32, int]:
    """A draw E ~ Exp(1), -log(1 - X) with X uniform in [0, 1) of 53 bits, and the place behind its two words."""
    at = skip(words, old, at, 1)
    high = word(words, at - 1)
    at = skip(words, old, at, 1)
    bits = ((high << np.uint64(32)) | word(words, at - 1)) & LOW53
    return np.float32(-math.log((LOW53 + np.uint64(1) - bits) * 2.0**-53)), at  # 1 - X is exact


@vector_kernel
def begin(state: np.ndarray, words: np.ndarray) -> int:
    """Read a state, uint64 [632], into its words, uint32 [624]; return how many of them are used up."""
    for k in range(N):
        words[k] = np.uint32(state[WORDS + k])
    return int(N + 1 - np.int64(state[LEFT] & LOW32))


@vector_kernel
def end(state: np.ndarray, words: np.ndarray, at: int) -> None:
    """Write it back."""
    for k in range(N):
        state[WORDS + k] = words[k]
    state[LEFT] = (state[LEFT] & ~LOW32) | np.uint64(N + 1 - at)
    state[NEXT] = np.uint64(at)


@vector_kernel
def draw_likely(probs: np.ndarray, wanted: np.ndarray, state: np.ndarray, scratch: np.ndarray, out: np.ndarray) -> None:
    """Actions drawn from policies: the first of the greatest p / E (Gumbel-max).

    Args:
        probs: float32 [N, A, U], zero where an action is not available.
        wanted: bool [N]; of other rows ``out`` is 0.
        state: uint64 [632], of the generator; moves on by N M A U draws.
        scratch: uint32 [2, 624].
        out: int64 [N, M, A], is written.
    """
    n_rows, n_samples, n_agents = out.shape
    n_actions = probs.shape[2]
    words, old = scratch[0], scratch[1]
    at = begin(state, words)
    for r in range(n_rows):
        for m in range(n_samples):
            for a in range(n_agents):
                found, top, seen = 0, np.float32(-1), 0
                for u in range(n_actions if wanted[r] else 0):
                    p = probs[r, a, u]
                    if p > 0:
                        e, at = noise(words, old, skip(words, old, at, 2 * (u - seen)))
                        seen = u + 1
                        ratio = p / max(e, SMALLEST)
                        found, top = (u, ratio) if ratio > top else (found, top)
                at = skip(words, old, at, 2 * (n_actions - seen))
                out[r, m, a] = found
    end(state, words, at)


@vector_kernel
def draw_soft(
    logits: np.ndarray, available: np.ndarray, state: np.ndarray, scratch: np.ndarray, out: np.ndarray
) -> None:
    """Actions drawn from the softmax over available ones: the first of the greatest logit - log E.

    Args:
        logits, available: float32 and bool [N, U].
        state, scratch: as of :func:`draw_likely`.
        out: int64 [N], is written.
    """
    n_rows, n_actions = logits.shape
    words, old = scratch[0], scratch[1]
    at = begin(state, words)
    for r in range(n_rows):
        found, top, seen = -1, np.float32(-np.inf), 0
        for u in range(n_actions):
            if available[r, u]:
                e, at = noise(words, old, skip(words, old, at, 2 * (u - seen)))
                seen = u + 1
                value = logits[r, u] - np.log(e)
                better = found < 0 or not value <= top  # NaN too: something is taken
                found, top = (u, value) if better else (found, top)
        at = skip(words, old, at, 2 * (n_actions - seen))
        out[r] = max(found, 0)
    end(state, words, at)
