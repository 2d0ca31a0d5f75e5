"""What a joint critic does between its matrix products, each one sweep over memory.

Axes: S steps, A' agents of a network, A all agents, M samples, H hidden units, N = S A' rows. Tables have a row for
every agent and action, agent by agent.
"""

from __future__ import annotations

import numpy as np

from core.compiling import vector_kernel

ZERO, ONE = np.float32(0), np.float32(1)  # plain numbers would turn single precision into double


@vector_kernel
def first_layer(
    own: np.ndarray,
    numbers: np.ndarray,
    shared: np.ndarray,
    table: np.ndarray,
    joint: np.ndarray,
    agents: np.ndarray,
    out: np.ndarray,
    total: np.ndarray,
) -> None:
    """relu(own + number + shared + the sum of the partners' rows of the table).

    Args:
        own: float32 [S, A', H].
        numbers: float32 [A', H], of the agents' numbers.
        shared: float32 [S, H].
        table: float32 [A U, H].
        joint: int64 [S, M, A].
        agents: int64 [A'], whose rows ``own`` has.
        out: float32 [S, A', M, H], is written.
        total: float32 [H], scratch.
    """
    n_steps, n_own, n_samples, size = out.shape
    n_agents = joint.shape[2]
    n_actions = table.shape[0] // n_agents
    for s in range(n_steps):
        for m in range(n_samples):
            acts, base = joint[s, m], shared[s]
            for k in range(size):
                total[k] = base[k]
            for o in range(n_agents):
                column = table[o * n_actions + acts[o]]
                for k in range(size):
                    total[k] += column[k]
            for a in range(n_own):
                agent = agents[a]
                column, number, row, to = table[agent * n_actions + acts[agent]], numbers[a], own[s, a], out[s, a, m]
                for k in range(size):
                    x = total[k] - column[k] + number[k] + row[k]
                    to[k] = ZERO if x <= ZERO else x  # NaN stays NaN


@vector_kernel
def first_layer_back(
    grad: np.ndarray,
    out: np.ndarray,
    joint: np.ndarray,
    agents: np.ndarray,
    of_own: np.ndarray,
    of_numbers: np.ndarray,
    of_shared: np.ndarray,
    of_table: np.ndarray,
    total: np.ndarray,
) -> None:
    """Gradients of what :func:`first_layer` was given, from that of ``out`` (float32 [S, A', M, H]).

    ``of_numbers`` and ``of_table`` are zero on entry; ``of_own`` and ``of_shared`` may be anything.
    """
    n_steps, n_own, n_samples, size = out.shape
    n_agents = joint.shape[2]
    n_actions = of_table.shape[0] // n_agents
    for s in range(n_steps):
        of_step = of_shared[s]
        for k in range(size):
            of_step[k] = ZERO
        for a in range(n_own):
            to = of_own[s, a]
            for k in range(size):
                to[k] = ZERO
        for m in range(n_samples):
            acts = joint[s, m]
            for k in range(size):
                total[k] = ZERO
            for a in range(n_own):
                agent = agents[a]
                column, to, g, y = of_table[agent * n_actions + acts[agent]], of_own[s, a], grad[s, a, m], out[s, a, m]
                for k in range(size):
                    x = g[k] if y[k] > ZERO else ZERO
                    to[k] += x
                    total[k] += x
                    column[k] -= x
            for o in range(n_agents):
                column = of_table[o * n_actions + acts[o]]
                for k in range(size):
                    column[k] += total[k]
            for k in range(size):
                of_step[k] += total[k]
        for a in range(n_own):
            to, g = of_numbers[a], of_own[s, a]
            for k in range(size):
                to[k] += g[k]


@vector_kernel
def add_up(terms: np.ndarray) -> np.float32:
    """Their sum, by halves, which are vector instructions and exact to a few units; the terms are destroyed."""
    n = terms.shape[0]
    while n > 8:
        half = n // 2
        rest = n - half
        for k in range(half):
            terms[k] += terms[rest + k]
        n = rest
    total = terms[0]
    for k in range(1, n):
        total += terms[k]
    return total


@vector_kernel
def taken(
    z: np.ndarray, weight: np.ndarray, bias: np.ndarray, actions: np.ndarray, out: np.ndarray, terms: np.ndarray
) -> None:
    """Outputs of a last layer at one action of each row: weight[u] . relu(z) + bias[u].

    Args:
        z: float32 [N, H].
        weight, bias: float32 [U, H] and [U].
        actions: int64 [N].
        out: float32 [N], is written.
        terms: float32 [H], scratch.
    """
    n_rows, size = z.shape
    for r in range(n_rows):
        x, w = z[r], weight[actions[r]]
        for k in range(size):
            terms[k] = (ZERO if x[k] <= ZERO else x[k]) * w[k]
        out[r] = add_up(terms) + bias[actions[r]]


@vector_kernel
def taken_back(
    grad: np.ndarray,
    z: np.ndarray,
    weight: np.ndarray,
    actions: np.ndarray,
    of_z: np.ndarray,
    of_weight: np.ndarray,
    of_bias: np.ndarray,
) -> None:
    """Gradients of what :func:`taken` was given, from that of ``out``, float32 [N].

    ``of_weight`` and ``of_bias`` are zero on entry.
    """
    n_rows, size = z.shape
    for r in range(n_rows):
        g, u = grad[r], actions[r]
        x, w, to, of_w = z[r], weight[u], of_z[r], of_weight[u]
        for k in range(size):
            to[k] = g * w[k] if x[k] > ZERO else ZERO
            of_w[k] += g * (x[k] if x[k] > ZERO else ZERO)
        of_bias[u] += g


@vector_kernel
def dot(first: np.ndarray, second: np.ndarray, terms: np.ndarray) -> np.float32:
    """Their product; ``terms`` is scratch."""
    for k in range(len(terms)):
        terms[k] = first[k] * second[k]
    return add_up(terms)


@vector_kernel
def over_samples(
    z: np.ndarray,
    bias: np.ndarray,
    of_action: np.ndarray,
    of_pi: np.ndarray,
    out: np.ndarray,
    scratch: np.ndarray,
    each: np.ndarray,
) -> None:
    """Products of y = relu(z + bias), a vector for every sample, with two weights of each row.

    Args:
        z: float32 [N, M, H].
        bias: float32 [H].
        of_action, of_pi: float32 [N, H], a and p.
        out: float32 [N, 4], is written: mean y . a; standard error of the mean of y . (a - p), 0 for one sample;
            mean y . p; y . a of the first sample.
        scratch, each: float32 [3, H] and [M].
    """
    n_rows, n_samples, size = z.shape
    share, terms, total, difference = ONE / np.float32(n_samples), scratch[0], scratch[1], scratch[2]
    for r in range(n_rows):
        act, pi, to = of_action[r], of_pi[r], out[r]
        for k in range(size):
            difference[k] = act[k] - pi[k]
            total[k] = ZERO
        centre = ZERO
        for m in range(n_samples):
            x = z[r, m]
            for k in range(size):
                y = x[k] + bias[k]
                terms[k] = ZERO if y <= ZERO else y
                total[k] += terms[k]
            for k in range(size):
                terms[k] *= difference[k]
            each[m] = add_up(terms)
            centre += each[m]
            if m == 0:
                to[3] = dot(total, act, terms)
        to[0] = dot(total, act, terms) * share
        to[2] = dot(total, pi, terms) * share
        centre *= share
        squares = ZERO
        for m in range(n_samples):
            squares += (each[m] - centre) * (each[m] - centre)
        to[1] = np.sqrt(squares / np.float32(max(n_samples * (n_samples - 1), 1)))
