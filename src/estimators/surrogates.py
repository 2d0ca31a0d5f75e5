"""Objectives of a policy, per decision and not yet reduced (reduce with ``masked_mean``); all are to be minimised."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


def policy_gradient(log_prob: Tensor, advantage: Tensor) -> Tensor:
    """-A log pi(u); any matching shapes. The advantage carries no gradient (Williams 1992)."""
    return -advantage.detach() * log_prob


def ppo(ratio: Tensor, advantage: Tensor, clip_range: float) -> Tensor:
    """-min(ratio A, clip(ratio, 1 - eps, 1 + eps) A) (Schulman et al. 2017, eq. 7); any matching shapes."""
    advantage = advantage.detach()
    clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
    return -(ratio * advantage).minimum(clipped * advantage)


def clip(ratio: Tensor, advantage: Tensor, clip_range: float) -> Tensor:
    """-clip(ratio, 1 - eps, 1 + eps) A, eq. 18 of arXiv 2012.03488 as printed.

    Its gradient vanishes as soon as the ratio leaves the interval on either side, also where PPO's does not.
    """
    return -ratio.clamp(1 - clip_range, 1 + clip_range) * advantage.detach()


def kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL[p, q] of categorical policies: log-probabilities [..., U] -> [...]."""
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def entropy(log_p: Tensor) -> Tensor:
    """Entropy in nats of categorical policies: log-probabilities [..., U] -> [...]."""
    return -(log_p.exp() * log_p).sum(-1)


SURROGATES = {"ppo": ppo, "clip": clip}


@dataclass(frozen=True)
class Surrogate:
    """A choice of what is minimised at the executed actions.

    Attributes:
        name: of :data:`SURROGATES`, or "policy_gradient".
        clip_range: of the former.
    """

    name: str
    clip_range: float = 0.0

    def __call__(self, log_prob: Tensor, old: Tensor, advantage: Tensor) -> Tensor:
        """Per decision, from log-probabilities under the present policy and the one that acted; all of one shape."""
        if self.name == "policy_gradient":
            return policy_gradient(log_prob, advantage)
        return SURROGATES[self.name]((log_prob - old).exp(), advantage, self.clip_range)
