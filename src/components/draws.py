"""Draws of actions by kernels that make noise where it is needed alone, from a generator's own stream.

They are those that PyTorch's operators make of it, as long as logarithms do not differ in their last bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.draw_kernels import LENGTH, N, draw_likely, draw_soft
from estimators import credit
from estimators.softmax import probabilities

MOST = 0.6  # share of draws that are wanted up to which the kernel, which makes no others, is faster


def sample_joint(
    log_pi: Tensor,
    *,
    n_samples: int,
    generator: torch.Generator,
    executed: Tensor | None = None,
    real: Tensor | None = None,
) -> Tensor:
    """As ``estimators.credit.sample_joint``; on the CPU a draw of few, as on large maps, costs little."""
    named: Any = {"n_samples": n_samples, "generator": generator, "executed": executed, "real": real}
    if log_pi.device.type != "cpu" or log_pi.dtype != torch.float32:
        return credit.sample_joint(log_pi, **named)
    probs = probabilities(log_pi.detach())
    wanted = probs.new_ones(probs.shape[:2], dtype=torch.bool) if real is None else real
    share = int(wanted.sum()) / max(wanted.numel(), 1)
    if share > MOST and share * int(probs.count_nonzero()) > MOST * probs.numel():
        return credit.sample_joint(log_pi, **named)
    given = probs.flatten(0, 1).contiguous().numpy(), wanted.flatten().contiguous().numpy()
    out = np.empty((len(given[0]), n_samples - (executed is not None), probs.shape[2]), np.int64)
    if out.size:
        _draw(draw_likely, *given, out=out, generator=generator)
    drawn = torch.from_numpy(out).unflatten(0, probs.shape[:2])
    return drawn if executed is None else torch.cat([executed.unsqueeze(2), drawn], dim=2)


def draw_from_logits(logits: Tensor, available: Tensor, generator: torch.Generator) -> Tensor:
    """Draws from the softmax over available actions: float32 and bool [..., U] on the CPU -> int64 [...]."""
    values, n_actions = logits.detach().numpy(), logits.shape[-1]
    rows = values.reshape(-1, n_actions), available.numpy().reshape(-1, n_actions)
    out = np.empty(values.shape[:-1], np.int64)
    if out.size:
        _draw(draw_soft, *map(np.ascontiguousarray, rows), out=out.reshape(-1), generator=generator)
    return torch.from_numpy(out)


def _draw(kernel: Any, *given: np.ndarray, out: np.ndarray, generator: torch.Generator) -> None:
    """Let a kernel draw of what it is given; the generator moves on as if PyTorch had drawn."""
    state = generator.get_state()
    words = state.numpy().view(np.uint64)
    assert len(words) == LENGTH, "PyTorch keeps its generator's state in another way; adapt draw_kernels.py"
    kernel(*given, words, np.empty((2, N), np.uint32), out)
    generator.set_state(state)
