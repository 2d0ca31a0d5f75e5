"""What a team's policy says of episodes that were gathered."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from components.action_selectors import policy_log_probs
from components.decisions import decisions
from core.data import EpisodeBatch
from estimators.surrogates import entropy


class Policy:
    """The present policy at every decision, with gradient.

    Args:
        executed: [B, T, A], log-probabilities of what was done.
        entropy: [B, T, A].
        values: what :attr:`log_pi` is made of.
        log_policy: makes it: [B, T', A, U].
    """

    def __init__(
        self, executed: Tensor, entropy: Tensor, values: Tensor, log_policy: Callable[[Tensor], Tensor]
    ) -> None:
        self.executed, self.entropy = executed, entropy
        self._values, self._log_policy = values, log_policy

    @classmethod
    def at(cls, logits: Tensor, batch: EpisodeBatch, *, epsilon: float) -> Policy:
        """From logits [B, T+1, A, U] of a batch, and the share of uniform exploration."""
        allowed = batch.available
        executed, spread = decisions(logits, allowed, batch.actions, batch.mask, epsilon=epsilon)
        return cls(executed, spread, logits, lambda values: policy_log_probs(values, allowed, epsilon))

    @classmethod
    def of(cls, log_pi: Tensor, actions: Tensor) -> Policy:
        """From the log-probabilities of all actions [B, T, A, U], and what was done, int64 [B, T, A]."""
        executed = log_pi.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
        return cls(executed, entropy(log_pi), log_pi, lambda values: values)

    @cached_property
    def log_pi(self) -> Tensor:
        """Log-probabilities of all actions, with gradient."""
        return self._log_policy(self._values)

    def frozen(self) -> Tensor:
        """As :attr:`log_pi`, without gradient."""
        with torch.no_grad():
            return self._log_policy(self._values).detach()
