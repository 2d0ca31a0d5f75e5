"""Returns and advantages over whole episodes.

Every function takes time along axis 1 and any trailing axes. Ends of episodes travel as ``discounts``,
gamma * (1 - terminated): a true end has discount 0, a truncated episode keeps gamma and bootstraps.
``continues`` says where step t + 1 belongs to the same episode; where it is 0, the recursion stops and the
bootstrap value ``values[:, t + 1]`` counts in full, so that padding never leaks into a return.
"""

from __future__ import annotations

import torch
from torch import Tensor


def continues_from_mask(mask: Tensor) -> Tensor:
    """Return where step t + 1 really happened: mask bool [B, T] -> float [B, T], 0 in the last column."""
    following = torch.zeros(mask.shape, dtype=torch.float32, device=mask.device)
    following[:, :-1] = mask[:, 1:]
    return following


def _check(rewards: Tensor, discounts: Tensor, values: Tensor, continues: Tensor) -> None:
    expected = (rewards.shape[0], rewards.shape[1] + 1, *rewards.shape[2:])
    if values.shape != expected:
        raise ValueError(f"values must be [B, T+1, ...] = {expected}, got {tuple(values.shape)}.")
    for name, x in (("discounts", discounts), ("continues", continues)):
        if x.shape[:2] != rewards.shape[:2]:
            raise ValueError(f"{name} must begin with [B, T] = {tuple(rewards.shape[:2])}, got {tuple(x.shape)}.")


def lambda_returns(*, rewards: Tensor, discounts: Tensor, values: Tensor, lam: float, continues: Tensor) -> Tensor:
    """TD(lambda) returns (Sutton and Barto 2018, eq. 12.18).

    G_t = r_t + d_t * ((1 - lam c_t) v_{t+1} + lam c_t G_{t+1})

    Args:
        rewards: [B, T, ...].
        discounts: [B, T, ...], gamma * (1 - terminated).
        values: [B, T+1, ...]; row t is the value of the state before step t.
        lam: 0 gives one-step targets, 1 gives Monte-Carlo returns.
        continues: [B, T, ...], see :func:`continues_from_mask`.

    Returns:
        [B, T, ...]
    """
    _check(rewards, discounts, values, continues)
    weight = lam * continues
    base = rewards + discounts * (1 - weight) * values[:, 1:]
    carry = discounts * weight
    return _reverse_accumulate(base, carry)


def residuals(
    *, rewards: Tensor, discounts: Tensor, values: Tensor, taken: Tensor, lam: float, continues: Tensor
) -> Tensor:
    """What the critic did not foresee, discounted by lambda: temporal differences with an action value as the baseline.

    R_t = delta_t + lam d_t c_t R_{t+1};  delta_t = r_t + d_t v_{t+1} - q_t

    The per-decision control variates of De Asis and Sutton (2018), as in doubly robust evaluation (Jiang and Li 2016).

    Args:
        rewards, discounts, lam, continues: as in :func:`lambda_returns`.
        values: [B, T+1, ...], expected values v of the states.
        taken: [B, T, ...], values q of what was done.

    Returns:
        [B, T, ...]; zero where the critic is right and nothing is random.
    """
    _check(rewards, discounts, values, continues)
    return _reverse_accumulate(rewards + discounts * values[:, 1:] - taken, lam * continues * discounts)


def gae(*, rewards: Tensor, discounts: Tensor, values: Tensor, lam: float, continues: Tensor) -> Tensor:
    """Generalised advantage estimation (Schulman et al. 2016, eq. 16).

    delta_t = r_t + d_t v_{t+1} - v_t;  A_t = delta_t + lam d_t c_t A_{t+1}

    Arguments as in :func:`lambda_returns`; returns [B, T, ...].
    """
    return residuals(
        rewards=rewards, discounts=discounts, values=values, taken=values[:, :-1], lam=lam, continues=continues
    )


def n_step_returns(*, rewards: Tensor, discounts: Tensor, values: Tensor, n: int, continues: Tensor) -> Tensor:
    """n-step returns (Sutton and Barto 2018, eq. 7.1), cut at the end of an episode.

    G^(0)_t = v_t;  G^(k)_t = r_t + d_t * (c_t G^(k-1)_{t+1} + (1 - c_t) v_{t+1})

    Arguments as in :func:`lambda_returns`, n >= 1; returns [B, T, ...].
    """
    _check(rewards, discounts, values, continues)
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}.")
    returns = rewards + discounts * values[:, 1:]
    base = rewards + discounts * (1 - continues) * values[:, 1:]
    carry = discounts * continues
    first, last, carried = base[:, :-1], base[:, -1:], carry[:, :-1]
    for _ in range(min(n, rewards.shape[1]) - 1):
        returns = torch.cat([torch.addcmul(first, carried, returns[:, 1:]), last], dim=1)
    return returns


def tree_backup(
    *,
    rewards: Tensor,
    discounts: Tensor,
    taken: Tensor,
    expected: Tensor,
    probs: Tensor,
    lam: float,
    n: int,
    continues: Tensor,
) -> Tensor:
    """Tree backup of n steps (Precup, Sutton and Singh 2000): off-policy returns without behaviour probabilities.

    y_t = q_t + sum_{l < n} (prod_{j < l} d_{t+j} c_{t+j}) (prod_{0 < j <= l} lam pi_{t+j}) delta_{t+l};
    delta_t = r_t + d_t e_{t+1} - q_t

    Args:
        rewards, discounts, continues: as in :func:`lambda_returns`.
        taken: [B, T, ...], values q of what was done.
        expected: [B, T+1, ...], values e of the states under the present policy.
        probs: [B, T, ...], pi of what was done, under the present policy.
        lam: 0 gives one-step targets.
        n: at least 1; from T on, to the end of the episode.

    Returns:
        [B, T, ...]
    """
    _check(rewards, discounts, expected, continues)
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}.")
    delta = rewards + discounts * expected[:, 1:] - taken
    following = torch.cat([probs[:, 1:], torch.zeros_like(probs[:, :1])], dim=1)
    carry = lam * discounts * continues * following
    if n >= rewards.shape[1]:
        return taken + _reverse_accumulate(delta, carry)
    total = delta
    for _ in range(n - 1):
        total = delta + carry * torch.cat([total[:, 1:], torch.zeros_like(total[:, :1])], dim=1)
    return taken + total


def _reverse_accumulate(base: Tensor, carry: Tensor) -> Tensor:
    """y_t = base_t + carry_t * y_{t+1}, y_T = 0, along axis 1."""
    base_t, carry_t = base.unbind(1), carry.unbind(1)
    out = [base_t[-1]]
    for t in range(len(base_t) - 2, -1, -1):
        out.append(torch.addcmul(base_t[t], carry_t[t], out[-1]))
    return torch.stack(out[::-1], dim=1)
