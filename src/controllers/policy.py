"""What a team's policy says of episodes that were gathered."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial

import torch
from torch import Tensor

from components.action_selectors import policy_log_probs
from components.decisions import Improvement, decisions, improvement, improvement_of
from core.data import EpisodeBatch
from estimators.surrogates import Surrogate, entropy


class Policy:
    """The present policy at every decision, with gradient.

    Args:
        values: what :attr:`log_pi` is made of.
        log_policy: makes it: [B, T', A, U].
        decide: makes log-probabilities of what was done, and entropies: [B, T, A].
        improve: as :meth:`improvement`, at once; None: from these.
    """

    def __init__(
        self,
        values: Tensor,
        log_policy: Callable[[Tensor], Tensor],
        decide: Callable[[], tuple[Tensor, Tensor]],
        improve: Callable[..., Improvement] | None = None,
    ) -> None:
        self._values, self._log_policy, self._decide, self._improve = values, log_policy, decide, improve

    @classmethod
    def at(cls, logits: Tensor, batch: EpisodeBatch, *, epsilon: float) -> Policy:
        """From logits [B, T+1, A, U] of a batch (the last row is of no decision), and the share of exploration."""
        allowed, actions = batch.available, batch.actions
        return cls(
            logits,
            lambda values: policy_log_probs(values, allowed, epsilon),
            lambda: decisions(logits, allowed, actions, batch.mask, epsilon=epsilon),
            partial(improvement, logits, allowed, actions, epsilon=epsilon),
        )

    @classmethod
    def of(cls, log_pi: Tensor, actions: Tensor) -> Policy:
        """From the log-probabilities of all actions [B, T, A, U], and what was done, int64 [B, T, A]."""
        executed = log_pi.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
        return cls(log_pi, lambda values: values, lambda: (executed, entropy(log_pi)))

    @cached_property
    def _decided(self) -> tuple[Tensor, Tensor]:
        return self._decide()

    @property
    def executed(self) -> Tensor:
        """Log-probabilities of what was done: [B, T, A]."""
        return self._decided[0]

    @property
    def entropy(self) -> Tensor:
        """Of every decision: [B, T, A]."""
        return self._decided[1]

    @cached_property
    def log_pi(self) -> Tensor:
        """Log-probabilities of all actions, with gradient."""
        return self._log_policy(self._values)

    def frozen(self) -> Tensor:
        """As :attr:`log_pi`, without gradient."""
        with torch.no_grad():
            return self._log_policy(self._values).detach()

    def improvement(
        self, surrogate: Surrogate, weights: Tensor, old: Tensor, advantages: Tensor, entropy_coef: float
    ) -> Improvement:
        """What the actors minimise (:func:`components.decisions.improvement`)."""
        if self._improve is not None:
            named = {"old": old, "advantages": advantages, "surrogate": surrogate, "entropy_coef": entropy_coef}
            return self._improve(weights, **named)
        per_decision = surrogate(self.executed, old, advantages)
        return improvement_of(self.executed, self.entropy, weights, per_decision, entropy_coef)
