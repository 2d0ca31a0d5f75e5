"""What a policy's loss needs of logits, in one sweep over the decisions that were made.

Axes: B episodes, T steps, A agents, U actions; logits have a row more of each episode, to bootstrap from.
"""

from __future__ import annotations

import numpy as np

from core.compiling import vector_kernel

ZERO, ONE = np.float32(0), np.float32(1)  # plain numbers would turn single precision into double
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


@vector_kernel
def surrogate(
    logits: np.ndarray,
    available: np.ndarray,
    actions: np.ndarray,
    weights: np.ndarray,
    old: np.ndarray,
    advantages: np.ndarray,
    form: int,
    clip_range: np.float32,
    entropy_coef: np.float32,
    log_prob: np.ndarray,
    out: np.ndarray,
    means: np.ndarray,
) -> None:
    """The mean of a surrogate of what was done, less a share of the mean entropy, and the gradient of both.

    Args:
        logits, available, actions: as of :func:`decisions`.
        weights: bool [B, T, A'], decisions that count, or [B, T, 1] steps.
        old: float32 [B, T, A], log-probabilities of what was done under the policy that gathered it.
        advantages: float32 [B, T, A].
        form: 0 is -A log pi(u), 1 is ``estimators.surrogates.ppo``, 2 is ``clip``.
        clip_range: theirs.
        entropy_coef: the entropy's share.
        log_prob: float32 [B, T, A], is written: of what was done; where nothing counts it stays as it is.
        out: float32 [B, T+1, A, U], is written, zero on entry: gradient of the logits, times the number that counts.
        means: float64 [3], is written: of the surrogate, of entropies, and how many decisions count.
    """
    n_episodes, n_steps, n_agents = actions.shape
    n_actions, own = logits.shape[3], weights.shape[2] > 1
    lost, spread, n = 0.0, 0.0, 0
    for b in range(n_episodes):
        for t in range(n_steps):
            for a in range(n_agents):
                if not weights[b, t, a if own else 0]:
                    continue
                x, allowed, to = logits[b, t, a], available[b, t, a], out[b, t, a]
                norm, entropy, total = _softmax(x, allowed, to)
                u, advantage = actions[b, t, a], advantages[b, t, a]
                log_p = x[u] - norm if allowed[u] else NEVER
                log_prob[b, t, a] = log_p
                loss, slope = _of_one(form, log_p, old[b, t, a], advantage, clip_range)
                lost, spread, n = lost + loss, spread + entropy, n + 1
                for k in range(n_actions):
                    if allowed[k]:
                        to[k] = to[k] / total * (entropy_coef * (x[k] - norm + entropy) - slope)
                if allowed[u]:
                    to[u] += slope
    most = max(n, 1)
    means[0], means[1], means[2] = lost / most, spread / most, most


@vector_kernel
def _of_one(
    form: int, log_prob: np.float32, old: np.float32, advantage: np.float32, clip_range: np.float32
) -> tuple[np.float32, np.float32]:
    """A surrogate of one decision, and its slope along the log-probability."""
    if form == 0:
        return -advantage * log_prob, -advantage
    ratio, low, high = np.exp(log_prob - old), ONE - clip_range, ONE + clip_range
    near = min(max(ratio, low), high) if ratio == ratio else ratio
    loss, of_clipped = -ratio * advantage, -near * advantage
    if form == 2:
        return of_clipped, loss if low <= ratio <= high else ZERO
    return (of_clipped, ZERO) if of_clipped > loss else (loss, loss)


@vector_kernel
def _softmax(x: np.ndarray, allowed: np.ndarray, out: np.ndarray) -> tuple[np.float32, np.float32, np.float32]:
    """Log sum exp, entropy, and the sum of probabilities as written to ``out``: [U] each."""
    top, total, weighted = np.float32(-np.inf), ZERO, ZERO
    for u in range(len(x)):
        if allowed[u] and not x[u] <= top:  # NaN is the greatest
            top = x[u]
    for u in range(len(x)):
        if allowed[u]:
            y = x[u] - top
            e = np.exp(y)
            out[u] = e
            total += e
            weighted += e * y
    log_total = np.log(total)
    return top + log_total, log_total - weighted / total, total
