"""Elementwise parts of a GRU's steps, each one sweep over memory instead of a dozen.

h = (1 - z) n + z h', r, z = sigmoid(...), n = tanh(W_in x + b_in + r m), m = W_hn h' + b_hn, with h' the state before.
"""

from __future__ import annotations

import numpy as np

from core.compiling import summing_kernel

ONE, HALF = np.float32(1), np.float32(0.5)  # plain numbers would turn single precision into double
# tanh as an odd polynomial of degree 13 over an even one of degree 6; the coefficients are Eigen's (generic_fast_tanh).
# Beyond EDGE it is 1 in single precision. Its error is at most 4e-7; the library's function is ten times slower.
EDGE = np.float32(7.90531110763549805)
P1, P3, P5, P7, P9, P11, P13 = (
    np.float32(coefficient)
    for coefficient in (
        *(4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08),
        *(-8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16),
    )
)
Q0, Q2, Q4, Q6 = (
    np.float32(coefficient)
    for coefficient in (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06)
)


@summing_kernel
def tanh(x: np.float32) -> np.float32:
    """Hyperbolic tangent in single precision; NaN stays NaN."""
    x = EDGE if x > EDGE else x
    x = -EDGE if x < -EDGE else x
    s = x * x
    p = x * (P1 + s * (P3 + s * (P5 + s * (P7 + s * (P9 + s * (P11 + s * P13))))))
    return p / (Q0 + s * (Q2 + s * (Q4 + s * Q6)))


@summing_kernel
def sigmoid(x: np.float32) -> np.float32:
    """1 / (1 + exp(-x))."""
    return HALF + HALF * tanh(HALF * x)


@summing_kernel
def next_state(
    r: np.ndarray,
    z: np.ndarray,
    n: np.ndarray,
    m: np.ndarray,
    of_n: np.ndarray,
    of_m: np.ndarray,
    h: np.ndarray,
    new: np.ndarray,
) -> None:
    """``new`` of one row from its gates r and z; n and m get their biases and are written. All float32 [H]."""
    size = len(h)
    for k in range(size):  # short loops, so that each becomes vector instructions
        m[k] += of_m[k]
    for k in range(size):
        n[k] = tanh(n[k] + of_n[k] + r[k] * m[k])
    for k in range(size):
        new[k] = n[k] + z[k] * (h[k] - n[k])


@summing_kernel
def forward_step(
    hidden: np.ndarray,
    gates: np.ndarray,
    recurrent: np.ndarray,
    kept: np.ndarray,
    bias: np.ndarray,
    before: int,
    start: int,
    n_rows: int,
) -> None:
    """From the products of one step to its gates, m and the next hidden state.

    Args:
        hidden: float32 [N+P, H], N rows of h_0 and those behind every step; the next ones are written.
        gates: float32 [P, 3H], W x on entry, r | z | n on return.
        recurrent: float32 [N, 3H], W h'; used up.
        kept: float32 [P, H], m is written; or [0, H].
        bias: float32 [4H]: of r and z (both sides' sum), of n's input side, of m.
        before: where the step's h' begin in ``hidden``.
        start: where the step's rows begin among the P.
        n_rows: of the step.
    """
    size = hidden.shape[1]
    first = len(hidden) - len(gates)
    of_rz, of_n, of_m = bias[: 2 * size], bias[2 * size : 3 * size], bias[3 * size :]
    for row in range(n_rows):
        g, w = gates[start + row], recurrent[row]
        r, z, n = g[:size], g[size : 2 * size], g[2 * size :]
        rz, m = g[: 2 * size], w[2 * size :]
        h, new = hidden[before + row], hidden[first + start + row]
        for k in range(2 * size):
            rz[k] = sigmoid(rz[k] + w[k] + of_rz[k])
        next_state(r, z, n, m, of_n, of_m, h, new)
        if len(kept) > 0:
            for_later = kept[start + row]
            for k in range(size):
                for_later[k] = m[k]


@summing_kernel
def single_step(
    before: np.ndarray,
    gates: np.ndarray,
    recurrent: np.ndarray,
    input_bias: np.ndarray,
    recurrent_bias: np.ndarray,
    after: np.ndarray,
) -> None:
    """The arithmetic of :func:`forward_step` for one step alone.

    Args:
        before, after: float32 [N, H], hidden states; the next ones are written.
        gates, recurrent: float32 [N, 3H], W x and W h'; used up.
        input_bias, recurrent_bias: float32 [3H].
    """
    n_rows, size = before.shape
    for row in range(n_rows):
        g, w, h, new = gates[row], recurrent[row], before[row], after[row]
        for k in range(2 * size):
            g[k] = sigmoid(g[k] + w[k] + (input_bias[k] + recurrent_bias[k]))
        r, z, n, m = g[:size], g[size : 2 * size], g[2 * size :], w[2 * size :]
        of_n, of_m = input_bias[2 * size :], recurrent_bias[2 * size :]
        next_state(r, z, n, m, of_n, of_m, h, new)


@summing_kernel
def backward_step(
    hidden: np.ndarray,
    gates: np.ndarray,
    kept: np.ndarray,
    grad: np.ndarray,
    carried: np.ndarray,
    out: np.ndarray,
    of_bias: np.ndarray,
    before: int,
    start: int,
    n_rows: int,
) -> None:
    """From the gradient of one step's h to those of the pre-activations of n, r and z and of m; pass on z's share.

    Args:
        hidden, gates, kept, before, start, n_rows: as of :func:`forward_step`.
        grad: float32 [P, H] or more rows, of the hidden states, without what later steps give.
        carried: float32 [N, H], what these give; replaced by what flows to h' through z.
        out: float32 [P, 4H], n | r | z | m, the step's rows are written.
        of_bias: float32 [4H], to which their sums are added.
    """
    size = hidden.shape[1]
    sum_n, sum_r = of_bias[:size], of_bias[size : 2 * size]
    sum_z, sum_m = of_bias[2 * size : 3 * size], of_bias[3 * size :]
    for row in range(n_rows):
        g, o = gates[start + row], out[start + row]
        r, z, n = g[:size], g[size : 2 * size], g[2 * size :]
        of_n, of_r, of_z, of_m = o[:size], o[size : 2 * size], o[2 * size : 3 * size], o[3 * size :]
        m, c, given, h = kept[start + row], carried[row], grad[start + row], hidden[before + row]
        for k in range(size):  # short loops, so that each becomes vector instructions
            c[k] += given[k]
        for k in range(size):
            of_n[k] = c[k] * (ONE - z[k]) * (ONE - n[k] * n[k])
            of_z[k] = c[k] * (h[k] - n[k]) * z[k] * (ONE - z[k])
        for k in range(size):
            of_m[k] = of_n[k] * r[k]
            of_r[k] = of_n[k] * r[k] * m[k] * (ONE - r[k])
        for k in range(size):
            c[k] *= z[k]
        for k in range(size):
            sum_n[k] += of_n[k]
            sum_r[k] += of_r[k]
        for k in range(size):
            sum_z[k] += of_z[k]
            sum_m[k] += of_m[k]
