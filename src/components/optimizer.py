"""One object that owns zero_grad, backward, clip and step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

OptimizerName = Literal["adam", "rmsprop"]


def _without_compiler() -> None:
    """Keep the methods of optimisers that are for torch.compile to skip from importing it at their first call.

    Nothing here is compiled by it, and importing it takes a third of the time in which a run starts. Where torch keeps
    these methods in another way, all is as torch has it.
    """
    for name in ("add_param_group", "load_state_dict", "state_dict", "zero_grad"):
        plain = getattr(getattr(torch.optim.Optimizer, name), "__wrapped__", None)
        if plain is not None and not hasattr(plain, "__dynamo_disable"):
            plain.__dynamo_disable = plain  # what torch calls in its place


_without_compiler()


class FusedAdam(torch.optim.Adam):
    """Torch's fused Adam, which looks its state up once and clips while it reads the gradients.

    Its own step takes as long as a backward pass of small networks, most of it to gather lists.
    """

    def __init__(self, parameters: list[nn.Parameter], *, lr: float, eps: float) -> None:
        super().__init__(parameters, lr=lr, eps=eps, fused=True)
        self._gather()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Of a copy, or of what is loaded, from torch's Adam too; parameters that had no state yet begin anew."""
        super().__setstate__(state)
        self._gather()

    def _gather(self) -> None:
        """Find every parameter's state; the counts of steps are views of one tensor, so that one sum moves all."""
        self._parameters: list[Tensor] = self.param_groups[0]["params"]
        states = [self.state[p] for p in self._parameters]
        for p, state in zip(self._parameters, states, strict=True):
            if not state:
                state |= {
                    "step": torch.zeros((), device=p.device),
                    "exp_avg": torch.zeros_like(p),
                    "exp_avg_sq": torch.zeros_like(p),
                }
        self._count = torch.stack([state["step"] for state in states]) if states else torch.zeros(0)
        self._steps = list(self._count.unbind())
        for state, step in zip(states, self._steps, strict=True):
            state["step"] = step
        self._means, self._squares = ([state[key] for state in states] for key in ("exp_avg", "exp_avg_sq"))

    @torch.no_grad()
    def divided(self, scale: Tensor) -> None:
        """One step by the gradients that are there, divided by a scalar."""
        group = self.param_groups[0]
        columns: list[list[Any]]
        columns = [self._parameters, [p.grad for p in self._parameters], self._means, self._squares, self._steps]
        if all(gradient is not None for gradient in columns[1]):
            self._count += 1
        else:
            rows = [row for row in zip(*columns, strict=True) if row[1] is not None]
            columns = [list(column) for column in zip(*rows, strict=True)]
            torch._foreach_add_(columns[-1], 1)
        parameters, gradients, means, squares, steps = columns
        torch._fused_adam_(
            parameters, gradients, means, squares, [], steps, grad_scale=scale.float(), amsgrad=False, maximize=False,
            weight_decay=0.0, lr=group["lr"], eps=group["eps"], beta1=group["betas"][0], beta2=group["betas"][1],
        )  # fmt: skip


class Optimizer:
    """Adam or RMSprop with gradient clipping.

    Args:
        parameters: what is optimised.
        kind: "adam" or "rmsprop" (PyMARL's).
        lr: learning rate.
        grad_norm_clip: largest gradient norm.
        alpha: RMSprop's smoothing.
        eps: added to the denominator.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        kind: OptimizerName,
        lr: float,
        grad_norm_clip: float,
        alpha: float = 0.99,
        eps: float = 1e-8,
    ) -> None:
        self.parameters = list(parameters)
        self.grad_norm_clip = grad_norm_clip
        self._optimizer: FusedAdam | torch.optim.RMSprop
        self._steps: list[tuple[Tensor, Tensor]] = []
        if kind == "adam":
            self._optimizer = FusedAdam(self.parameters, lr=lr, eps=eps)
        else:
            self._optimizer = torch.optim.RMSprop(self.parameters, lr=lr, alpha=alpha, eps=eps, foreach=True)

    def step(self, loss: Tensor) -> Tensor:
        """One update; returns the gradient's norm before clipping, a scalar tensor."""
        self.zero_grad()
        loss.backward()
        return self.apply(loss)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def apply(self, loss: Tensor) -> Tensor:
        """Clip the gradients that are there, of this loss, and take the step; as :meth:`step`."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if not gradients:
            norm = torch.zeros_like(loss, requires_grad=False)
        else:
            norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
            scale = (norm + 1e-6).div_(self.grad_norm_clip).clamp_(min=1.0)
            if isinstance(self._optimizer, FusedAdam):
                self._optimizer.divided(scale)
            else:
                torch._foreach_div_(gradients, scale)
                self._optimizer.step()
        self.note(loss.detach(), norm)
        return norm

    def note(self, loss: Tensor, norm: Tensor) -> None:
        """Keep the loss and the gradient's norm of a step, scalars, for :meth:`take_steps`."""
        self._steps.append((loss, norm))

    def take_steps(self) -> list[tuple[Tensor, Tensor]]:
        """Return loss and gradient norm of every step since the last call, on the device: nobody has waited for it."""
        steps, self._steps = self._steps, []
        return steps

    def state_dict(self) -> dict[str, Any]:
        """State of the optimiser."""
        return self._optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        self._optimizer.load_state_dict(state)


class Optimizers:
    """One optimiser for each of several groups of parameters, each with its own clipping.

    One Adam over all groups would move, by its momentum, groups whose gradient is zero.

    Args:
        groups: an optimiser for each.
    """

    def __init__(self, groups: Iterable[Optimizer]) -> None:
        self.groups = list(groups)

    def step(self, loss: Tensor) -> Tensor:
        """One update of every group; returns the norm of the whole gradient before clipping, a scalar tensor."""
        for optimizer in self.groups:
            optimizer.zero_grad()
        loss.backward()
        return torch.stack([optimizer.apply(loss) for optimizer in self.groups]).norm()

    def take_steps(self) -> list[tuple[Tensor, Tensor]]:
        """As an optimiser's, of all groups."""
        return [step for optimizer in self.groups for step in optimizer.take_steps()]

    def state_dict(self) -> dict[str, Any]:
        """State of every group's."""
        return {"groups": [optimizer.state_dict() for optimizer in self.groups]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        for optimizer, saved in zip(self.groups, state["groups"], strict=True):
            optimizer.load_state_dict(saved)
