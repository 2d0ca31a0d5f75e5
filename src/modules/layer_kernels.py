"""Elementwise parts of linear layers with ReLUs between them, each one sweep over memory."""

from __future__ import annotations

import numpy as np

from core.compiling import summing_kernel

ZERO = np.float32(0)  # a plain number would turn single precision into double


@summing_kernel
def relu_backward(out: np.ndarray, grad: np.ndarray, of_bias: np.ndarray) -> None:
    """Through a ReLU to the layer before it.

    Args:
        out: float32 [P, F], what the ReLU gave.
        grad: float32 [P, F], its gradient on entry; that of the layer on return.
        of_bias: float32 [F], is written: their sum over rows.
    """
    size = out.shape[1]
    for k in range(size):
        of_bias[k] = ZERO
    for row in range(out.shape[0]):
        o, g = out[row], grad[row]
        for k in range(size):
            g[k] = g[k] if o[k] > ZERO else ZERO
        for k in range(size):
            of_bias[k] += g[k]
