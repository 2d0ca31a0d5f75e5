"""Natural gradient steps of a categorical policy (Schulman et al. 2015, appendix C; Kuba et al. 2022)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

REACH = 1e-3
"""How far the finite differences reach, as the norm of the change of all parameters."""


class FlatParameters:
    """Parameters as one vector.

    Args:
        parameters: what is read and written.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self._parameters = list(parameters)

    def read(self) -> Tensor:
        """A copy: [P]."""
        return torch.cat([p.detach().flatten() for p in self._parameters])

    def write(self, vector: Tensor) -> None:
        """Set them, [P], unseen by graphs that were built before: use those only after the old values are back."""
        for p, values in zip(self._parameters, self._parts(vector), strict=True):
            p.data.copy_(values.view_as(p))

    def gradient(self, scalar: Tensor, *, keep: bool = False) -> Tensor:
        """Gradient of a scalar: [P]. ``keep`` leaves the graph for another one."""
        return torch.cat([g.flatten() for g in torch.autograd.grad(scalar, self._parameters, retain_graph=keep)])

    def _parts(self, vector: Tensor) -> tuple[Tensor, ...]:
        return vector.split([p.numel() for p in self._parameters])


class Fisher:
    """F v for the policy at the present parameters, F the Hessian of the mean KL[pi_old, pi] at pi = pi_old.

    F = J^T D J, with J the Jacobian of the log-probabilities and D their probabilities times the weights. J v is a
    central difference and J^T is a backward pass, so no second derivative is needed, which the agents' GRU has not.

    Args:
        parameters: of the policy.
        log_policy: returns log-probabilities [..., U] at the parameters' values, with gradient where it is enabled.
        weights: bool [...] or broadcast to it, what counts in the mean.
        damping: this times v is added, as there are directions in which the policy does not change.
    """

    def __init__(
        self, parameters: FlatParameters, log_policy: Callable[[], Tensor], weights: Tensor, *, damping: float
    ) -> None:
        self.parameters, self.log_policy, self.damping = parameters, log_policy, damping
        self.here = parameters.read()
        self.log_pi = log_policy()
        counted = weights.expand(self.log_pi.shape[:-1])
        share = counted / counted.sum().clamp(min=1)
        self._scale = self.log_pi.detach().exp() * share.unsqueeze(-1)

    @torch.no_grad()
    def _change(self, v: Tensor) -> Tensor:
        """J v: [..., U]."""
        step = REACH / v.norm()
        try:
            self.parameters.write(self.here + step * v)
            beyond = self.log_policy()
            self.parameters.write(self.here - step * v)
            return (beyond - self.log_policy()) / (2 * step)
        finally:
            self.parameters.write(self.here)

    def __call__(self, v: Tensor) -> Tensor:
        """(F + damping) v: [P]."""
        if not v.any():
            return torch.zeros_like(v)
        product = (self.log_pi * (self._scale * self._change(v))).sum()
        return self.parameters.gradient(product, keep=True) + self.damping * v


def conjugate_gradient(
    product: Callable[[Tensor], Tensor], b: Tensor, *, steps: int, tolerance: float = 1e-10
) -> Tensor:
    """Solve H x = b from x = 0 (Hestenes and Stiefel 1952).

    Args:
        product: v -> H v, H symmetric and positive (semi)definite.
        b: [P].
        steps: at most so many products.
        tolerance: of the squared residual.
    """
    x, residual = torch.zeros_like(b), b.clone()
    direction, square = residual.clone(), residual.dot(residual)
    for _ in range(steps):
        if square <= tolerance:
            break
        image = product(direction)
        length = square / direction.dot(image)
        x = x + length * direction
        residual = residual - length * image
        former, square = square, residual.dot(residual)
        direction = residual + square / former * direction
    return x


def natural_step(product: Callable[[Tensor], Tensor], gradient: Tensor, *, bound: float, steps: int) -> Tensor:
    """sqrt(2 bound / x^T H x) x with H x = gradient: uphill, to where the KL's second-order form is ``bound``.

    Zeros where there is no such direction, as at a gradient of zero.
    """
    x = conjugate_gradient(product, gradient, steps=steps)
    curvature = x.dot(product(x))
    if not (torch.isfinite(curvature) and curvature > 0):
        return torch.zeros_like(x)
    return (2 * bound / curvature).sqrt() * x


def line_search(
    parameters: FlatParameters,
    step: Tensor,
    accepts: Callable[[float], bool],
    *,
    tries: int,
    factor: float,
) -> int | None:
    """Take the first of step, factor step, factor^2 step, ... that is accepted.

    Args:
        parameters: moved by what is accepted; as they were, bit for bit, where nothing is.
        step: [P].
        accepts: judges the parameters as they then are, given the share factor^j of the step.
        tries: how many are looked at.
        factor: between 0 and 1.

    Returns:
        j, or None where nothing was accepted.
    """
    here = parameters.read()
    if step.any():
        for j in range(tries):
            parameters.write(here + factor**j * step)
            if accepts(factor**j):
                return j
    parameters.write(here)
    return None
