"""What networks are given of a batch, made once for all passes over it."""

from __future__ import annotations

from typing import Any

from core.data import EpisodeBatch
from modules.sparse_rows import SparseRows


def read_once(controller: Any, batch: EpisodeBatch) -> Any:
    """A controller's inputs of a batch [B, T+1, A, I]; packed [1, P, A, I] where the batch is, and sparse if faster."""
    kept = batch.kept
    if controller not in kept:
        inputs = controller.inputs(batch)
        if batch.packing is not None:
            inputs = batch.packing.pack(inputs)
            if getattr(controller.agents, "takes_sparse", False):
                inputs = SparseRows.of(inputs)
        kept[controller] = inputs
    return kept[controller]
