"""What networks are given of a batch, made once for all passes over it."""

from __future__ import annotations

from typing import Any

from core.data import EpisodeBatch
from modules.sparse_rows import LARGE, LiveColumns, SparseRows


def read_once(controller: Any, batch: EpisodeBatch) -> Any:
    """A controller's inputs of a batch [B, T+1, A, I]; packed [1, P, A, I] where the batch is, and sparse if faster."""
    kept = batch.kept
    if controller not in kept:
        inputs, sparse = controller.inputs(batch), getattr(controller.agents, "takes_sparse", False)
        if batch.packing is not None:
            inputs = batch.packing.pack(inputs)
            inputs = SparseRows.of(inputs) if sparse else inputs
        elif sparse and controller.agents.recurrent:  # which goes through time: rows of a step together, once
            inputs = inputs.transpose(0, 1).contiguous()
            inputs = (LiveColumns.of(inputs) if inputs.numel() >= LARGE else inputs).transpose(0, 1)
        kept[controller] = inputs
    return kept[controller]
