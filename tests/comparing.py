"""Whether two runs are the same, bit for bit."""

import json

import numpy as np
import pytest
import torch

from components import checkpoint


def differences(a, b, where=""):
    """Places where two nested structures are not equal bit for bit."""
    if isinstance(a, dict):
        if not isinstance(b, dict) or a.keys() != b.keys():
            return [where]
        return [place for key in a for place in differences(a[key], b[key], f"{where}/{key}")]
    if isinstance(a, list | tuple):
        if len(a) != len(b):
            return [where]
        return [place for i, pair in enumerate(zip(a, b, strict=True)) for place in differences(*pair, f"{where}/{i}")]
    if isinstance(a, torch.Tensor):
        return (
            [] if a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes() else [where]
        )
    if isinstance(a, np.ndarray):
        return [] if a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes() else [where]
    return [] if a == b else [where]


def content(folder):
    """Everything in a checkpoint but what names the run."""
    found = {path.name: checkpoint.read(folder, path.name) for path in sorted(folder.iterdir())}
    found.pop("settings.pt")
    found["state.pt"].pop("run")
    return found


def points(folder, after):
    """name -> [(step, value)] of a run's metrics after a step."""
    metrics = json.loads((folder / "metrics.json").read_text(), parse_constant=pytest.fail)
    every = {
        name: [(s, v) for s, v in zip(column["steps"], column["values"], strict=True) if s > after]
        for name, column in metrics.items()
    }
    return {name: column for name, column in every.items() if column}
