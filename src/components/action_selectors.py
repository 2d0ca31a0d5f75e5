"""How actions are chosen from Q-values or logits."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from components.draws import draw_from_logits
from components.selector_kernels import choose_best, choose_epsilon_greedy, values_of_best
from estimators.masked import masked_log_softmax
from estimators.noise import exponential

SMALLEST = torch.finfo(torch.float32).tiny


class ActionSelector(Protocol):
    """Values [N, A, U] and available bool [N, A, U] -> actions int64 [N, A], always available ones."""

    def __call__(self, values: Tensor, available: Tensor, *, epsilon: float, generator: torch.Generator) -> Tensor:
        """Choose; ``epsilon`` is the share of uniform exploration."""
        ...


def greedy(values: Tensor, available: Tensor) -> Tensor:
    """The best available action, of equal ones the first: [..., U] -> int64 [...]."""
    if not _has_kernels(values):
        return values.masked_fill(~available, -torch.inf).argmax(-1)
    out = torch.empty(values.shape[:-1], dtype=torch.int64)
    choose_best(*_rows(values, available), out.view(-1).numpy())
    return out


def of_greedy(judged: Tensor, values: Tensor, available: Tensor) -> Tensor:
    """What ``values`` say of the actions that are :func:`greedy` by ``judged``: [..., U] -> [...], without gradient."""
    if not (_has_kernels(judged) and _has_kernels(values)):
        return values.gather(-1, greedy(judged, available).unsqueeze(-1)).squeeze(-1).detach()
    out = torch.empty(values.shape[:-1])
    values_of_best(*_rows(judged, values, available), out.view(-1).numpy())
    return out


def epsilon_greedy(values: Tensor, available: Tensor, *, epsilon: float, generator: torch.Generator) -> Tensor:
    """The best available action, or with probability epsilon any available one; see :class:`ActionSelector`."""
    noise = torch.rand((*values.shape[:-1], values.shape[-1] + 1), generator=generator, device=values.device)
    if not _has_kernels(values):
        random = noise[..., :-1].masked_fill_(~available, -1.0).argmax(-1)
        return torch.where(noise[..., -1] < epsilon, random, greedy(values, available))
    out = torch.empty(values.shape[:-1], dtype=torch.int64)
    choose_epsilon_greedy(*_rows(values, available, noise), np.float32(epsilon), out.view(-1).numpy())
    return out


def _has_kernels(values: Tensor) -> bool:
    """Whether kernels may choose: on the CPU, in single precision, and not in a graph for other programs."""
    return values.is_cpu and values.dtype == torch.float32 and not torch.jit.is_tracing()


def _rows(*xs: Tensor) -> list[np.ndarray]:
    return [np.ascontiguousarray(x.detach().numpy().reshape(-1, x.shape[-1])) for x in xs]


def soft_policy(values: Tensor, available: Tensor, *, epsilon: float, generator: torch.Generator) -> Tensor:
    """A draw from :func:`policy_log_probs`; see :class:`ActionSelector`."""
    logits = values if epsilon == 0 else policy_log_probs(values, available, epsilon)
    if _has_kernels(logits):
        return draw_from_logits(logits, available, generator)
    # argmax of log p - log E with E ~ Exp(1) is a draw from p (Gumbel-max); a constant of the row changes nothing
    noise = exponential(logits.shape, generator=generator, dtype=logits.dtype, device=logits.device)
    return (logits - noise.log_()).masked_fill_(~available, -torch.inf).argmax(-1)


def boltzmann(
    values: Tensor, available: Tensor, *, temperature: float, epsilon: float, generator: torch.Generator
) -> Tensor:
    """A draw from the softmax of values / temperature; see :func:`soft_policy`."""
    return soft_policy(values / temperature, available, epsilon=epsilon, generator=generator)


def policy_log_probs(values: Tensor, available: Tensor, epsilon: float) -> Tensor:
    """Log-probabilities of the softmax over available actions, mixed with epsilon of the uniform policy.

    Args:
        values: logits [..., U].
        available: bool [..., U].
        epsilon: 0 is the softmax alone.

    Returns:
        [..., U], finite everywhere.
    """
    log_pi = masked_log_softmax(values, available)
    if epsilon == 0:
        return log_pi
    uniform = available / available.sum(-1, keepdim=True)
    mixed = (1 - epsilon) * log_pi.exp() + epsilon * uniform
    return torch.where(available, mixed.clamp(min=SMALLEST).log(), log_pi)


SELECTORS: dict[str, ActionSelector] = {"epsilon_greedy": epsilon_greedy, "soft_policies": soft_policy}
