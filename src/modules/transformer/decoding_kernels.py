"""One agent's turn in MAT's decoder: with a token a world, the calls of sixty operations cost more than their work.

The arithmetic is that of ``DecoderBlock`` and the head. Layers are matrices [inputs, outputs], so that the inner loops
run over outputs and become vector instructions.
"""

from __future__ import annotations

import math

import numpy as np

from core.compiling import vector_kernel

ZERO, HALF, ONE, FOUR = np.float32(0), np.float32(0.5), np.float32(1), np.float32(4)
ROOT_HALF, EPSILON = np.float32(math.sqrt(0.5)), np.float32(1e-5)  # LayerNorm's
# erf as an odd polynomial of degree 13 over an even one of degree 8, +-1 beyond 4; the coefficients are Eigen's
# (erf of single precision).
P1, P3, P5, P7, P9, P11, P13 = (
    np.float32(coefficient)
    for coefficient in (
        *(-1.60960333262415e-02, -2.95459980854025e-03, -7.34990630326855e-04, -5.69250639462346e-05),
        *(-2.10102402082508e-06, 2.77068142495902e-08, -2.72614225801306e-10),
    )
)
Q0, Q2, Q4, Q6, Q8 = (
    np.float32(coefficient)
    for coefficient in (
        *(-1.42647390514189e-02, -7.37332916720468e-03, -1.68282697438203e-03),
        *(-2.13374055278905e-04, -1.45660718464996e-05),
    )
)


@vector_kernel
def gelu(x: np.float32) -> np.float32:
    """x Phi(x), Phi the normal distribution; NaN stays NaN."""
    y = x * ROOT_HALF
    y = FOUR if y > FOUR else y
    y = -FOUR if y < -FOUR else y
    s = y * y
    p = y * (P1 + s * (P3 + s * (P5 + s * (P7 + s * (P9 + s * (P11 + s * P13))))))
    return HALF * x * (ONE + p / (Q0 + s * (Q2 + s * (Q4 + s * (Q6 + s * Q8)))))


@vector_kernel
def affine(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, out: np.ndarray) -> None:
    """A linear layer: x [I], weight [I, O], bias and out [O]."""
    for k in range(len(out)):
        out[k] = bias[k]
    for i in range(len(x)):
        for k in range(len(out)):
            out[k] += x[i] * weight[i, k]


@vector_kernel
def normalise(x: np.ndarray, norm: np.ndarray) -> None:
    """x = LayerNorm(x): [D], norm [2, D], gains and shifts."""
    total = square = ZERO
    for k in range(len(x)):
        total += x[k]
    mean = total / np.float32(len(x))
    for k in range(len(x)):
        x[k] -= mean
        square += x[k] * x[k]
    scale = ONE / np.sqrt(square / np.float32(len(x)) + EPSILON)
    for k in range(len(x)):
        x[k] = x[k] * scale * norm[0, k] + norm[1, k]


@vector_kernel
def add_and_norm(x: np.ndarray, y: np.ndarray, norm: np.ndarray) -> None:
    """x = LayerNorm(x + y): [D], norm [2, D], gains and shifts."""
    for k in range(len(x)):
        x[k] += y[k]
    normalise(x, norm)


@vector_kernel
def attend(
    query: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    seen: int,
    n_heads: int,
    scores: np.ndarray,
    out: np.ndarray,
) -> None:
    """Attention of one token to the first few of others.

    Args:
        query: [D].
        keys, values: [A, D].
        seen: how many it attends to.
        n_heads: into which D is divided.
        scores: [A], to work with.
        out: [D], written.
    """
    width = len(query) // n_heads
    scale = ONE / np.sqrt(np.float32(width))
    for first in range(0, len(query), width):
        largest, total = -np.float32(np.inf), ZERO
        for j in range(seen):
            score = ZERO
            for k in range(first, first + width):
                score += query[k] * keys[j, k]
            scores[j] = score * scale
            largest = max(largest, scores[j])
        for k in range(first, first + width):
            out[k] = ZERO
        for j in range(seen):
            scores[j] = np.exp(scores[j] - largest)
            total += scores[j]
        for j in range(seen):
            weight = scores[j] / total
            for k in range(first, first + width):
                out[k] += weight * values[j, k]


@vector_kernel
def block(
    agent: int,
    n_heads: int,
    x: np.ndarray,
    z: np.ndarray,
    past: np.ndarray,
    weights: np.ndarray,
    biases: np.ndarray,
    norms: np.ndarray,
    work: np.ndarray,
    scores: np.ndarray,
) -> None:
    """A block of the decoder, for one token of every row.

    Args:
        agent: whose token it is.
        n_heads: of both attentions.
        x: [N, D], the tokens as they enter; as they leave on return.
        z: [N, A, D], encoded observations.
        past: [N, 4, A, D], keys and values of both attentions, of the agents before; the agent's are written.
        weights, biases: [10, D, D] and [10, D]: query, key, value and end of both attentions, then the MLP's two.
        norms: [3, 2, D], gains and shifts.
        work, scores: [3, D] and [A], to work with.
    """
    a, b, c = work[0], work[1], work[2]
    for n in range(len(x)):
        token, own_keys, own_values, keys, values = x[n], past[n, 0], past[n, 1], past[n, 2], past[n, 3]
        affine(token, weights[0], biases[0], a)
        affine(token, weights[1], biases[1], own_keys[agent])
        affine(token, weights[2], biases[2], own_values[agent])
        attend(a, own_keys, own_values, agent + 1, n_heads, scores, b)
        affine(b, weights[3], biases[3], c)
        add_and_norm(token, c, norms[0])
        affine(z[n, agent], weights[4], biases[4], a)
        affine(token, weights[5], biases[5], keys[agent])
        affine(token, weights[6], biases[6], values[agent])
        attend(a, keys, values, agent + 1, n_heads, scores, b)
        affine(b, weights[7], biases[7], token)
        add_and_norm(token, z[n, agent], norms[1])
        affine(token, weights[8], biases[8], a)
        for k in range(len(a)):
            a[k] = gelu(a[k])
        affine(a, weights[9], biases[9], b)
        add_and_norm(token, b, norms[2])


@vector_kernel
def head(
    x: np.ndarray,
    first: np.ndarray,
    first_bias: np.ndarray,
    norm: np.ndarray,
    last: np.ndarray,
    last_bias: np.ndarray,
    work: np.ndarray,
    out: np.ndarray,
) -> None:
    """Logits of every row: x [N, D], layers [D, D] and [D, U] with LayerNorm [2, D] between, out [N, U]."""
    a = work[0]
    for n in range(len(x)):
        affine(x[n], first, first_bias, a)
        for k in range(len(a)):
            a[k] = gelu(a[k])
        normalise(a, norm)
        affine(a, last, last_bias, out[n])
