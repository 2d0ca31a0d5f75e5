"""What networks are given of a batch, made once for all passes over it."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from core.data import EpisodeBatch
from core.packing import Packing
from modules.sparse_rows import LARGE, LiveColumns, SparseRows


def read_once(controller: Any, batch: EpisodeBatch, packing: Packing | None) -> Any:
    """A controller's inputs of a batch [B, T+1, A, I], as :func:`laid_out` has them."""
    kept, key = batch.kept, (controller, packing is batch.packing)
    if key not in kept:
        kept[key] = laid_out(controller.agents, controller.inputs(batch), packing)
    return kept[key]


def laid_out(nets: Any, inputs: Tensor, packing: Packing | None) -> Any:
    """Inputs [B, T, A, I] as networks read them fastest: packed [1, P, A, I] with a packing, sparse if faster."""
    sparse = getattr(nets, "takes_sparse", False)
    if packing is not None:
        inputs = packing.pack(inputs)
        return SparseRows.of(inputs) if sparse else inputs
    if sparse and nets.recurrent:  # which go through time: rows of a step together, once
        inputs = inputs.transpose(0, 1).contiguous()
        return (LiveColumns.of(inputs) if inputs.numel() >= LARGE else inputs).transpose(0, 1)
    return inputs
