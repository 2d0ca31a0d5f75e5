"""How an action is chosen from Q-values or logits."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from components.schedules import LinearSchedule
from estimators.masked import masked_log_softmax

SMALLEST = torch.finfo(torch.float32).tiny


class ActionSelector(Protocol):
    """Chooses actions and knows the policy it chooses from."""

    epsilon: LinearSchedule

    def select(
        self, values: Tensor, available: Tensor, *, t_env: int, greedy: bool, generator: torch.Generator
    ) -> Tensor:
        """Values [N, A, U] and available bool [N, A, U] -> actions int64 [N, A], always available ones."""
        ...


def greedy_actions(values: Tensor, available: Tensor) -> Tensor:
    """The best available action: [..., U] -> int64 [...]."""
    return values.masked_fill(~available, -torch.inf).argmax(-1)


class EpsilonGreedy:
    """The best available action, or with probability epsilon any available one.

    Args:
        epsilon: over environment steps.
        test_epsilon: exploration left in tests that are not greedy.
    """

    def __init__(self, epsilon: LinearSchedule, *, test_epsilon: float) -> None:
        self.epsilon = epsilon
        self.test_epsilon = test_epsilon

    def select(
        self, values: Tensor, available: Tensor, *, t_env: int, greedy: bool, generator: torch.Generator
    ) -> Tensor:
        """See :class:`ActionSelector`; t_env < 0 means a test of the sampling policy."""
        best = greedy_actions(values, available)
        if greedy:
            return best
        epsilon = self.test_epsilon if t_env < 0 else self.epsilon(t_env)
        noise = torch.rand((*values.shape[:-1], values.shape[-1] + 1), generator=generator, device=values.device)
        random = noise[..., :-1].masked_fill_(~available, -1.0).argmax(-1)
        return torch.where(noise[..., -1] < epsilon, random, best)


class SoftPolicy:
    """A draw from the softmax of the logits over available actions, mixed with epsilon of the uniform policy."""

    def __init__(self, epsilon: LinearSchedule) -> None:
        self.epsilon = epsilon

    def select(
        self, values: Tensor, available: Tensor, *, t_env: int, greedy: bool, generator: torch.Generator
    ) -> Tensor:
        """See :class:`ActionSelector`."""
        if greedy:
            return greedy_actions(values, available)
        probs = self.log_probs(values, available, t_env=max(t_env, 0)).exp_()
        # argmax of p / E with E ~ Exp(1) is a draw from p (Gumbel-max)
        noise = torch.empty_like(probs).exponential_(generator=generator).clamp_(min=SMALLEST)
        return (probs / noise).masked_fill_(~available, -1.0).argmax(-1)

    def log_probs(self, values: Tensor, available: Tensor, *, t_env: int) -> Tensor:
        """Log-probabilities of the policy that acts: logits [..., U] -> [..., U], finite everywhere."""
        log_pi = masked_log_softmax(values, available)
        epsilon = self.epsilon(t_env)
        if epsilon == 0:
            return log_pi
        uniform = available / available.sum(-1, keepdim=True)
        mixed = (1 - epsilon) * log_pi.exp() + epsilon * uniform
        return torch.where(available, mixed.clamp(min=SMALLEST).log(), log_pi)
