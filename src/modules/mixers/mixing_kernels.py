"""QMIX's mixing layer as one sweep over memory each way.

Q = sum_e w2_e elu(sum_a q_a w1_ae + b_e) + c + sum_e relu(v_e) k_e, where w1 and w2 are absolute values of what
hypernetworks give (or this itself), and b and v columns of the state's first layer.
"""

from __future__ import annotations

import numpy as np

from core.compiling import summing_kernel, vector_kernel
from modules.gru_kernels import HALF, ONE, tanh

ZERO, TWO = np.float32(0), np.float32(2)


@vector_kernel
def elu(x: np.float32) -> np.float32:
    """x, or exp(x) - 1 below 0 (as 2 t / (1 - t), t = tanh(x / 2), which loses nothing near 0); NaN stays NaN."""
    t = tanh(HALF * x)
    return x if x > ZERO else TWO * t / (ONE - t)


@vector_kernel
def sign(x: np.float32) -> np.float32:
    """1, 0 or -1."""
    return ONE if x > ZERO else (-ONE if x < ZERO else ZERO)


@summing_kernel
def mix_forward(
    q: np.ndarray,
    state: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    of_value: np.ndarray,
    constant: np.ndarray,
    monotonic: bool,
    hidden: np.ndarray,
    total: np.ndarray,
) -> None:
    """Q of all rows.

    Args:
        q: float32 [P, A].
        state: float32 [P, F], the first layer, of which the last 2 E columns are read: v | b.
        first: float32 [P, A E], w1.
        second: float32 [P, E], w2.
        of_value: float32 [1, E], k.
        constant: float32 [1], c.
        monotonic: absolute values of the weights count.
        hidden: float32 [P, E], the layer behind elu, is written.
        total: float32 [P, 1], is written.
    """
    n_rows, n_agents = q.shape
    size = hidden.shape[1]
    begin = state.shape[1] - 2 * size
    k = of_value[0]
    for row in range(n_rows):
        v, b = state[row, begin : begin + size], state[row, begin + size :]
        h, w1, w2, out = hidden[row], first[row], second[row], constant[0]
        for e in range(size):
            h[e] = b[e]
        for agent in range(n_agents):
            of_agent, w = q[row, agent], w1[agent * size : (agent + 1) * size]
            if monotonic:
                for e in range(size):
                    h[e] += of_agent * abs(w[e])
            else:
                for e in range(size):
                    h[e] += of_agent * w[e]
        for e in range(size):
            h[e] = elu(h[e])
        for e in range(size):
            out += h[e] * (abs(w2[e]) if monotonic else w2[e])
            out += k[e] * (ZERO if v[e] < ZERO else v[e])
        total[row, 0] = out


@summing_kernel
def mix_backward(
    grad: np.ndarray,
    q: np.ndarray,
    state: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    of_value: np.ndarray,
    hidden: np.ndarray,
    monotonic: bool,
    grad_q: np.ndarray,
    grad_state: np.ndarray,
    grad_first: np.ndarray,
    grad_second: np.ndarray,
    grad_of_value: np.ndarray,
) -> None:
    """Gradients of all rows, from that of Q, float32 [P, 1]; the others as of :func:`mix_forward`.

    Of ``grad_state`` the columns v and b are written; to ``grad_of_value`` is added.
    """
    n_rows, n_agents = q.shape
    size = hidden.shape[1]
    begin = state.shape[1] - 2 * size
    k, d_k = of_value[0], grad_of_value[0]
    for row in range(n_rows):
        g, h, w2, d_w2, v = grad[row, 0], hidden[row], second[row], grad_second[row], state[row, begin : begin + size]
        d_v, d_b = grad_state[row, begin : begin + size], grad_state[row, begin + size :]
        for e in range(size):
            d_k[e] += g * (ZERO if v[e] < ZERO else v[e])
            d_v[e] = g * k[e] if v[e] > ZERO else ZERO
        for e in range(size):  # hidden + 1 is exp(x) below 0
            slope = ONE if h[e] > ZERO else h[e] + ONE
            d_w2[e] = g * h[e] * (sign(w2[e]) if monotonic else ONE)
            d_b[e] = g * (abs(w2[e]) if monotonic else w2[e]) * slope
        for agent in range(n_agents):
            of_agent, own = q[row, agent], slice(agent * size, (agent + 1) * size)
            w, d_w, total = first[row, own], grad_first[row, own], ZERO
            if monotonic:
                for e in range(size):
                    d_w[e] = d_b[e] * of_agent * sign(w[e])
                    total += d_b[e] * abs(w[e])
            else:
                for e in range(size):
                    d_w[e] = d_b[e] * of_agent
                    total += d_b[e] * w[e]
            grad_q[row, agent] = total


@vector_kernel
def relu_backward(out: np.ndarray, grad: np.ndarray) -> None:
    """Set the gradients to zero where a ReLU gave zero: float32 [P, F] and [P, F] or more columns."""
    n_rows, size = out.shape
    for row in range(n_rows):
        o, g = out[row], grad[row]
        for k in range(size):
            g[k] = g[k] if o[k] > ZERO else ZERO
