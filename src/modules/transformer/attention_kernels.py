"""Attention among few tokens, as those of a team are, forward and backward.

Axes: N rows, Q tokens that attend to K others, D units in heads of D / heads each.
"""

from __future__ import annotations

import numpy as np

from core.compiling import summing_kernel

ZERO = np.float32(0)  # a plain number would turn single precision into double


@summing_kernel
def attention(
    query: np.ndarray, memory: np.ndarray, hidden: np.ndarray, scale: np.float32, shares: np.ndarray, out: np.ndarray
) -> None:
    """softmax(scale query key^T) value, where not hidden.

    Args:
        query: float32 [N, Q, D].
        memory: float32 [N, K, 2 D], key | value.
        hidden: bool [Q, K].
        scale: of the scores.
        shares: float32 [N, heads, Q, K], is written: the softmax, 0 where hidden.
        out: float32 [N, Q, D], is written.
    """
    n_rows, n_queries, width = query.shape
    n_heads, n_keys = shares.shape[1], memory.shape[1]
    size = width // n_heads
    for row in range(n_rows):
        for head in range(n_heads):
            own, of_value = slice(head * size, (head + 1) * size), slice(width + head * size, width + (head + 1) * size)
            for i in range(n_queries):
                q, p, to = query[row, i, own], shares[row, head, i], out[row, i, own]
                top, total = np.float32(-np.inf), ZERO
                for j in range(n_keys):
                    if not hidden[i, j]:
                        key, score = memory[row, j, own], ZERO
                        for k in range(size):
                            score += q[k] * key[k]
                        p[j] = score * scale
                        if not p[j] <= top:  # NaN is the greatest
                            top = p[j]
                for j in range(n_keys):
                    p[j] = ZERO if hidden[i, j] else np.exp(p[j] - top)
                    total += p[j]
                for k in range(size):
                    to[k] = ZERO
                for j in range(n_keys):
                    p[j] /= total
                    value, share = memory[row, j, of_value], p[j]
                    for k in range(size):
                        to[k] += share * value[k]


@summing_kernel
def attention_back(
    grad: np.ndarray,
    query: np.ndarray,
    memory: np.ndarray,
    scale: np.float32,
    shares: np.ndarray,
    of_query: np.ndarray,
    of_memory: np.ndarray,
    slopes: np.ndarray,
) -> None:
    """Gradients of :func:`attention`'s query and memory, both zero on entry, from that of its ``out``.

    Args:
        grad: float32 [N, Q, D].
        query, memory, scale, shares: as there.
        of_query, of_memory: float32, as these.
        slopes: float32 [K], room to work in.
    """
    n_rows, n_queries, width = query.shape
    n_heads, n_keys = shares.shape[1], memory.shape[1]
    size = width // n_heads
    for row in range(n_rows):
        for head in range(n_heads):
            own, of_value = slice(head * size, (head + 1) * size), slice(width + head * size, width + (head + 1) * size)
            for i in range(n_queries):
                g, q, d_q = grad[row, i, own], query[row, i, own], of_query[row, i, own]
                p, mean = shares[row, head, i], ZERO
                for j in range(n_keys):
                    value, d_value, share, slope = memory[row, j, of_value], of_memory[row, j, of_value], p[j], ZERO
                    for k in range(size):
                        slope += g[k] * value[k]
                    for k in range(size):
                        d_value[k] += share * g[k]
                    slopes[j] = slope
                    mean += share * slope
                for j in range(n_keys):
                    key, d_key = memory[row, j, own], of_memory[row, j, own]
                    slope = scale * p[j] * (slopes[j] - mean)
                    for k in range(size):
                        d_q[k] += slope * key[k]
                    for k in range(size):
                        d_key[k] += slope * q[k]
