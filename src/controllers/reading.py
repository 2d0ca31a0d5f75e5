"""What networks are given of a batch, made once for all passes over it."""

from __future__ import annotations

from typing import Any

from core.data import EpisodeBatch
from core.packing import Packing
from modules.sparse_rows import LARGE, LiveColumns, SparseRows


def read_once(controller: Any, batch: EpisodeBatch, packing: Packing | None) -> Any:
    """A controller's inputs of a batch [B, T+1, A, I]; packed where there is a packing, and sparse if faster."""
    kept, key = batch.kept, (controller, packing is batch.packing)
    if key not in kept:
        inputs, sparse = controller.inputs(batch), getattr(controller.agents, "takes_sparse", False)
        if packing is not None:
            inputs = packing.pack(inputs)
            inputs = SparseRows.of(inputs) if sparse else inputs
        elif sparse and controller.agents.recurrent:  # which goes through time: rows of a step together, once
            inputs = inputs.transpose(0, 1).contiguous()
            inputs = (LiveColumns.of(inputs) if inputs.numel() >= LARGE else inputs).transpose(0, 1)
        kept[key] = inputs
    return kept[key]
