"""What a policy's loss needs of logits, in one sweep over the decisions that were made.

Axes: B episodes, T steps, A agents, U actions; logits have a row more of each episode, to bootstrap from.
"""

from __future__ import annotations

import numpy as np

from core.compiling import vector_kernel

ZERO = np.float32(0)  # plain numbers would turn single precision into double
NEVER = np.float32(np.finfo(np.float32).min / 4)  # log-probability of what is not available, as in masked_log_softmax


@vector_kernel
def decisions(
    logits: np.ndarray,
    available: np.ndarray,
    actions: np.ndarray,
    mask: np.ndarray,
    log_prob: np.ndarray,
    entropy: np.ndarray,
    norm: np.ndarray,
) -> None:
    """Log-probabilities of what was done, and entropies, of the softmax over available actions.

    Args:
        logits: float32 [B, T+1, A, U].
        available: bool [B, T+1, A, U].
        actions: int64 [B, T, A].
        mask: bool [B, T], steps.
        log_prob, entropy, norm: float32 [B, T, A], are written: the two, and log sum exp; 0 where no step is.
    """
    n_episodes, n_steps, n_agents = actions.shape
    n_actions = logits.shape[3]
    for b in range(n_episodes):
        for t in range(n_steps):
            for a in range(n_agents):
                if not mask[b, t]:
                    log_prob[b, t, a], entropy[b, t, a], norm[b, t, a] = ZERO, ZERO, ZERO
                    continue
                x, allowed = logits[b, t, a], available[b, t, a]
                top = np.float32(-np.inf)
                for u in range(n_actions):
                    if allowed[u] and not x[u] <= top:  # NaN is the greatest
                        top = x[u]
                total, weighted = ZERO, ZERO
                for u in range(n_actions):
                    if allowed[u]:
                        y = x[u] - top
                        e = np.exp(y)
                        total += e
                        weighted += e * y
                log_total = np.log(total)
                norm[b, t, a] = top + log_total
                entropy[b, t, a] = log_total - weighted / total
                u = actions[b, t, a]
                log_prob[b, t, a] = x[u] - norm[b, t, a] if allowed[u] else NEVER


@vector_kernel
def decisions_back(
    of_log_prob: np.ndarray,
    of_entropy: np.ndarray,
    logits: np.ndarray,
    available: np.ndarray,
    actions: np.ndarray,
    mask: np.ndarray,
    entropy: np.ndarray,
    norm: np.ndarray,
    out: np.ndarray,
) -> None:
    """Gradient of the logits from those of both results of :func:`decisions`, float32 [B, T, A].

    d log p(u) / d x_k = [k = u] - p_k;  d H / d x_k = -p_k (log p_k + H). ``out`` is zero on entry.
    """
    n_episodes, n_steps, n_agents = actions.shape
    n_actions = logits.shape[3]
    for b in range(n_episodes):
        for t in range(n_steps):
            if not mask[b, t]:
                continue
            for a in range(n_agents):
                x, allowed, to = logits[b, t, a], available[b, t, a], out[b, t, a]
                g, of_h, h, z = of_log_prob[b, t, a], of_entropy[b, t, a], entropy[b, t, a], norm[b, t, a]
                for u in range(n_actions):
                    if allowed[u]:
                        log_p = x[u] - z
                        to[u] = -np.exp(log_p) * (g + of_h * (log_p + h))
                if allowed[actions[b, t, a]]:
                    to[actions[b, t, a]] += g
