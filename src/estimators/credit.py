"""Credit assignment with a joint critic: COMA's counterfactual and ASAE's marginal advantages.

Equation numbers: Wan et al., "Multi-agent Policy Optimization with Approximatively Synchronous Advantage
Estimation", arXiv 2012.03488v3. Axes: B episodes, T steps, A agents, M samples, K enumerated joint actions of
the partners, U own actions.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from estimators.noise import from_uniform
from estimators.softmax import probabilities


@dataclass(frozen=True)
class Marginal:
    """Marginal advantages.

    Attributes:
        advantage: [B, T, A, U].
        value: [B, T, A], V(s), the mean of Q over the same joint actions (eq. 5).
        samples: [B, T, A, M, U], of which the advantage is the mean; None where it is exact.
    """

    advantage: Tensor
    value: Tensor
    samples: Tensor | None = None

    @property
    def standard_error(self) -> Tensor:
        """Of the Monte-Carlo mean, [B, T, A, U]; zero where it is exact or m = 1."""
        if self.samples is None or self.samples.shape[-2] == 1:
            return torch.zeros_like(self.advantage)
        m = self.samples.shape[-2]
        squares = (self.samples - self.advantage.unsqueeze(-2)).square_().sum(-2)  # ten times as fast as std
        return (squares / (m * (m - 1))).sqrt_()

    def steps(self, rows: slice) -> Marginal:
        """Some of the time steps."""
        samples = None if self.samples is None else self.samples[:, rows]
        return Marginal(self.advantage[:, rows], self.value[:, rows], samples)


def baseline(q: Tensor, pi: Tensor) -> Tensor:
    """sum_u pi(u) q(u), what the own policy expects: [..., U] -> [..., 1]."""
    return (pi * q).sum(-1, keepdim=True)


def counterfactual(q: Tensor, pi: Tensor) -> Tensor:
    """Counterfactual advantage of every own action (eqs. 1 and 7).

    A_ctf^a(s, u) = Q(s, u) - sum_{u'} pi^a(u'|tau^a) Q(s, (u^-a, u'))

    Args:
        q: [..., U], Q(s, (u^-a, .)) for the agent's own actions.
        pi: [..., U] (broadcast), the agent's policy.

    Returns:
        [..., U]; its mean under pi is zero.
    """
    return q - baseline(q, pi)


def marginal(q_samples: Tensor, pi: Tensor) -> Marginal:
    """Monte-Carlo marginal advantage of every own action (eq. 10).

    A_mar^a(s, u^a) ~ 1/m sum_j A_ctf^a(s, (u^a, u_j^-a)),  u_j^-a ~ pi^-a

    Args:
        q_samples: [B, T, A, M, U], Q(s, (u_j^-a, .)) of sample j.
        pi: [B, T, A, U].
    """
    expected = baseline(q_samples, pi.unsqueeze(-2))
    per_sample = q_samples - expected  # A_ctf, eq. 1
    return Marginal(per_sample.mean(-2), expected.mean(-2).squeeze(-1), per_sample)  # eq. 10


def exact_marginal(q_joint: Tensor, partner_probs: Tensor, pi: Tensor) -> Marginal:
    """Marginal advantage by enumerating the partners' joint actions (eq. 8).

    A_mar^a(s, u^a) = sum_{u^-a} pi^-a(u^-a) A_ctf^a(s, (u^a, u^-a))

    Args:
        q_joint: [B, T, A, K, U], Q(s, (u_k^-a, .)) of the k-th joint action of the partners.
        partner_probs: [B, T, A, K], see :func:`partner_probabilities`.
        pi: [B, T, A, U].
    """
    q_marginal = (partner_probs.unsqueeze(-1) * q_joint).sum(-2)  # eq. 3
    value = baseline(q_marginal, pi).squeeze(-1)  # eq. 5: V = sum_u pi^a(u) Q_mar^a(u)
    return Marginal(counterfactual(q_marginal, pi), value)  # eq. 4


def partner_ratio(log_pi: Tensor, behaviour: Tensor, actions: Tensor, *, bound: float) -> Tensor:
    """How much likelier the partners' executed actions have become: prod_{o != a} pi^o(u^o) / pi_i^o(u^o).

    Args:
        log_pi, behaviour: [B, T, A, U], the present policy and pi_i.
        actions: int64 [B, T, A].
        bound: the ratio is clipped to [1 / bound, bound].

    Returns:
        [B, T, A]
    """
    executed = actions.unsqueeze(-1)
    own = (log_pi.gather(-1, executed) - behaviour.gather(-1, executed)).squeeze(-1)
    return (own.sum(-1, keepdim=True) - own).exp().clamp(1 / bound, bound)


def joint_actions_of_partners(n_agents: int, n_actions: int) -> Tensor:
    """Enumerate the partners' joint actions, agent by agent: int64 [A, K, A], K = U^(A-1); own entry 0."""
    rows = []
    for agent in range(n_agents):
        choices = [range(1) if other == agent else range(n_actions) for other in range(n_agents)]
        rows.append(list(itertools.product(*choices)))
    return torch.tensor(rows, dtype=torch.int64)


def partner_probabilities(pi: Tensor, partner_actions: Tensor) -> Tensor:
    """pi^-a(u_k^-a) = prod_{o != a} pi^o(u_k^o) for enumerated joint actions.

    Args:
        pi: [B, T, A, U].
        partner_actions: int64 [A, K, A] of :func:`joint_actions_of_partners`.

    Returns:
        [B, T, A, K]; sums to 1 over K.
    """
    n_agents = pi.shape[-2]
    probs = torch.ones(pi.shape[:2] + partner_actions.shape[:2], dtype=pi.dtype, device=pi.device)
    for agent in range(n_agents):
        for other in range(n_agents):
            if other != agent:
                probs[:, :, agent] *= pi[:, :, other, partner_actions[agent, :, other]]
    return probs


BLOCK = 1 << 17  # draws at once on the CPU, which stay in its cache: 1 MiB


def sample_joint(
    log_pi: Tensor,
    *,
    n_samples: int,
    generator: torch.Generator,
    executed: Tensor | None = None,
    real: Tensor | None = None,
) -> Tensor:
    """Draw joint actions from independent policies at the same state (Figure 2).

    Args:
        log_pi: [B, T, A, U], log-probabilities; unavailable actions hugely negative.
        n_samples: m.
        generator: the stream to draw from.
        executed: int64 [B, T, A]; where given it is sample 1, so that m = 1 is COMA.
        real: bool [B, T], rows whose draws are wanted; others' are action 0, though the stream moves on as if drawn.

    Returns:
        int64 [B, T, M, A]
    """
    drawn, on_cpu = n_samples - (executed is not None), log_pi.device.type == "cpu"
    probs = probabilities(log_pi).flatten(0, 1)  # [B * T, A, U]
    wanted = None if real is None or not on_cpu or bool(real.all()) else real.flatten()
    rows = max(1, BLOCK // max(drawn * probs[0].numel(), 1)) if on_cpu else len(probs)
    blocks = [slice(start, start + rows) for start in range(0, len(probs), rows)]
    parts = [_draw(probs[one], drawn, generator, None if wanted is None else wanted[one]) for one in blocks]
    actions = torch.cat(parts).unflatten(0, log_pi.shape[:2])
    return actions if executed is None else torch.cat([executed.unsqueeze(2), actions], dim=2)


def _draw(probs: Tensor, n: int, generator: torch.Generator, wanted: Tensor | None) -> Tensor:
    """n actions of each agent, from [N, A, U]: int64 [N, n, A]; see :func:`sample_joint`."""
    shape = (len(probs), n, *probs.shape[1:])
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64, device=probs.device)
    index = None if wanted is None else wanted.nonzero().squeeze(1)
    if index is not None:
        probs, uniform = probs[index], uniform[index]
    # argmax of log p - log E with E ~ Exp(1) is a draw from p (Gumbel-max); exp underflows to 0 for unavailable actions
    noise = from_uniform(uniform, probs.dtype).clamp_(min=torch.finfo(probs.dtype).tiny)
    actions = torch.div(probs.unsqueeze(1), noise, out=noise).argmax(-1)
    return actions if index is None else actions.new_zeros(shape[:3]).index_copy_(0, index, actions)
