"""Elementwise parts of the GRU's backward pass, each one sweep over memory instead of a dozen."""

from __future__ import annotations

import numpy as np

from core.compiling import kernel

ONE = np.float32(1)  # a plain 1 would turn single precision into double


@kernel
def gate_factors(hidden: np.ndarray, gates: np.ndarray, recurrent: np.ndarray, out: np.ndarray) -> None:
    """Write d h_t / d (pre-activations of r, z, and W_hn h + b_hn), elementwise, for all steps.

    h = (1 - z) n + z h', n = tanh(a + r m), m = W_hn h' + b_hn.

    Args:
        hidden: [T+1, N, H], h_0 first.
        gates: [T, N, 3H], r | z | n.
        recurrent: [T, N, 3H], m in the last third.
        out: [T, N, 3H], written.
    """
    n_steps, n_rows, width = gates.shape
    size = width // 3
    for t in range(n_steps):
        for row in range(n_rows):
            g, o = gates[t, row], out[t, row]
            r, z, n = g[:size], g[size : 2 * size], g[2 * size :]
            of_r, of_z, of_m = o[:size], o[size : 2 * size], o[2 * size :]
            m, h = recurrent[t, row, 2 * size :], hidden[t, row]
            for k in range(size):  # short loops, so that each becomes vector instructions
                of_z[k] = (h[k] - n[k]) * z[k] * (ONE - z[k])
            for k in range(size):
                of_m[k] = (ONE - z[k]) * (ONE - n[k] * n[k]) * r[k]
            for k in range(size):
                of_r[k] = of_m[k] * m[k] * (ONE - r[k])


@kernel
def input_gradients(carried: np.ndarray, gates: np.ndarray, out: np.ndarray) -> None:
    """Replace the last third of ``out`` by the gradient of the input side of n: d h_t (1 - z) (1 - n^2).

    Args:
        carried: [T, N, H], the whole gradient of h_t.
        gates: [T, N, 3H], r | z | n.
        out: [T, N, 3H], changed in place.
    """
    n_steps, n_rows, size = carried.shape
    for t in range(n_steps):
        for row in range(n_rows):
            z, n = gates[t, row, size : 2 * size], gates[t, row, 2 * size :]
            o, c = out[t, row, 2 * size :], carried[t, row]
            for k in range(size):
                o[k] = c[k] * (ONE - z[k]) * (ONE - n[k] * n[k])
