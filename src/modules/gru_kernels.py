"""Elementwise parts of the GRU's backward pass, each one sweep over memory instead of a dozen."""

from __future__ import annotations

import numpy as np

from core.compiling import kernel


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
            g, o, m, h = gates[t, row], out[t, row], recurrent[t, row], hidden[t, row]
            for k in range(size):
                r, z, n = g[k], g[size + k], g[2 * size + k]
                factor = (1 - z) * (1 - n * n)
                o[k] = factor * m[2 * size + k] * r * (1 - r)
                o[size + k] = (h[k] - n) * z * (1 - z)
                o[2 * size + k] = factor * r


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
            g, o, c = gates[t, row], out[t, row], carried[t, row]
            for k in range(size):
                n = g[2 * size + k]
                o[2 * size + k] = c[k] * (1 - g[size + k]) * (1 - n * n)
