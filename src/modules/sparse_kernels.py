"""Products of rows that are mostly zero with dense weights; rows in the order of CSR."""

from __future__ import annotations

import numpy as np

from core.compiling import vector_kernel

ZERO = np.float32(0)  # plain numbers would turn single precision into double


@vector_kernel
def count(x: np.ndarray, starts: np.ndarray) -> None:
    """Where the entries of each row that are not 0 begin: float32 [N, I] -> int64 [N + 1], of which the first is 0."""
    for r in range(x.shape[0]):
        n, row = 0, x[r]
        for i in range(x.shape[1]):
            n += row[i] != ZERO
        starts[r + 1] = starts[r] + n


@vector_kernel
def live(x: np.ndarray, out: np.ndarray) -> None:
    """Which columns have an entry that is not 0: float32 [N, I] -> uint8 [I], zero on entry."""
    for r in range(x.shape[0]):
        row = x[r]
        for i in range(x.shape[1]):
            out[i] |= row[i] != ZERO


@vector_kernel
def pick(x: np.ndarray, columns: np.ndarray, out: np.ndarray) -> None:
    """Some columns, int64 [I'], of float32 [N, I]: ``out`` [N, I'] is written."""
    for r in range(x.shape[0]):
        row, to = x[r], out[r]
        for i in range(columns.shape[0]):
            to[i] = row[columns[i]]


@vector_kernel
def gather(x: np.ndarray, starts: np.ndarray, columns: np.ndarray, values: np.ndarray) -> None:
    """Their columns, int32, and values, with room for one more; ``starts`` is that of :func:`count`."""
    for r in range(x.shape[0]):
        at, row = starts[r], x[r]
        for i in range(x.shape[1]):
            columns[at], values[at] = i, row[i]  # what comes next writes over it: a branch would be guessed wrong
            at += row[i] != ZERO


@vector_kernel
def product(
    starts: np.ndarray, columns: np.ndarray, values: np.ndarray, weight: np.ndarray, bias: np.ndarray, out: np.ndarray
) -> None:
    """Rows times weight [I, H] plus bias [H]: ``out`` float32 [N, H] is written."""
    size = out.shape[1]
    for r in range(out.shape[0]):
        to, begin, end = out[r], starts[r], starts[r + 1]
        for k in range(size):
            to[k] = bias[k]
        while (end - begin) % 4:  # four at a time below: a quarter of the sweeps over the row
            v, w = values[begin], weight[columns[begin]]
            for k in range(size):
                to[k] += v * w[k]
            begin += 1
        for at in range(begin, end, 4):
            v0, v1, v2, v3 = values[at], values[at + 1], values[at + 2], values[at + 3]
            w0, w1 = weight[columns[at]], weight[columns[at + 1]]
            w2, w3 = weight[columns[at + 2]], weight[columns[at + 3]]
            for k in range(size):
                to[k] += (v0 * w0[k] + v1 * w1[k]) + (v2 * w2[k] + v3 * w3[k])


@vector_kernel
def product_back(
    starts: np.ndarray, columns: np.ndarray, values: np.ndarray, grad: np.ndarray, of_weight: np.ndarray
) -> None:
    """Gradient of the weight [I, H], zero on entry, from that of :func:`product`'s ``out``."""
    size = grad.shape[1]
    for r in range(grad.shape[0]):
        g = grad[r]
        for at in range(starts[r], starts[r + 1]):
            v, to = values[at], of_weight[columns[at]]
            for k in range(size):
                to[k] += v * g[k]
