"""Checkpoints: written atomically, found by step, read without running code from the file."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from core.errors import UserError

REPLAY = "replay.pt"


def save(models: Path, t_env: int, parts: Mapping[str, Any]) -> Path:
    """Write ``models/<t_env>/<file>`` for every part; the folder appears whole or not at all.

    Older checkpoints lose their replay buffer (the bulk of the bytes) once the new one is in place.

    Args:
        models: folder of the run's checkpoints.
        t_env: environment steps so far.
        parts: file name -> what torch.save takes.

    Raises:
        OSError: the disk is full or not writable; what was there before is untouched.
    """
    final = models / str(t_env)
    if final.is_dir():
        return final  # the same step of the same run
    remove_unfinished(models)
    temporary = models / f".{t_env}.{os.getpid()}.tmp"
    try:
        temporary.mkdir(parents=True)
        for name, content in parts.items():
            with (temporary / name).open("wb") as file:
                torch.save(content, file)
                file.flush()
                os.fsync(file.fileno())
        temporary.rename(final)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
        raise OSError(f"Cannot write the checkpoint {final}: {reason}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for step in steps(models):
        if step != t_env:
            with contextlib.suppress(OSError):
                (models / str(step) / REPLAY).unlink(missing_ok=True)
    return final


def remove_unfinished(models: Path) -> None:
    """Remove what a process has left that was ended in :func:`save`."""
    for left in models.glob(".*.tmp"):
        shutil.rmtree(left, ignore_errors=True)


def steps(models: Path) -> list[int]:
    """Environment steps of the checkpoints in a folder, ascending."""
    if not models.is_dir():
        return []
    return sorted(int(path.name) for path in models.iterdir() if path.is_dir() and path.name.isdigit())


def find(path: str | Path, load_step: int = 0) -> Path:
    """Find a checkpoint: a checkpoint's own folder, or a run's models folder and a step.

    Args:
        path: results/models/<run> or results/models/<run>/<t_env>.
        load_step: 0 is the newest, else the nearest.

    Raises:
        UserError: nothing there.
    """
    path = Path(path)
    if is_checkpoint(path):
        return path
    known = [step for step in steps(path) if not (path / str(step) / "run.json").is_file()]
    if not known:
        raise UserError(
            f"No checkpoint in {path}: give a run's results folder (results/sacred/<algorithm>/<task>/<id>) or its "
            "models folder (results/models/<run>, with folders named by step). "
            "A run that was stopped before its first save_model_interval, or had save_model=False, has none."
        )
    step = known[-1] if load_step == 0 else min(known, key=lambda s: abs(s - load_step))
    return path / str(step)


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder is one checkpoint."""
    return (folder / "agent.th").is_file() or (folder / "state.pt").is_file()


def newest_with_replay(models: Path) -> Path | None:
    """Return the newest checkpoint that has its replay buffer, None where there is none."""
    having = [step for step in steps(models) if (models / str(step) / REPLAY).is_file()]
    return models / str(having[-1]) if having else None


def forget_replay(models: Path) -> int:
    """Remove the replay buffers of a run that is over (the bulk of its bytes); return how many bytes that were."""
    removed = 0
    for step in steps(models):
        path = models / str(step) / REPLAY
        with contextlib.suppress(OSError):  # there is none, or it cannot be removed
            size = path.stat().st_size
            path.unlink()
            removed += size
    return removed


def sizes(models: Path) -> tuple[int, int]:
    """Return the bytes of all checkpoints in a folder, and of the replay buffers among them."""
    files = [path for step in steps(models) for path in (models / str(step)).iterdir()]
    return sum(path.stat().st_size for path in files), sum(p.stat().st_size for p in files if p.name == REPLAY)


def read(checkpoint: Path, name: str) -> Any:
    """Read one part of a checkpoint (tensors, numbers, NumPy arrays; never code).

    Raises:
        UserError: missing or unreadable.
    """
    arrays = [np._core.multiarray._reconstruct, np.ndarray, np.dtype]  # type: ignore[attr-defined]
    dtypes = [type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int64, np.int32, np.bool_, np.uint64)]
    try:
        with torch.serialization.safe_globals([*arrays, *dtypes]):
            # a replay is copied into its buffer: mapped, it need not be in memory twice
            return torch.load(checkpoint / name, map_location="cpu", weights_only=True, mmap=name == REPLAY)
    except FileNotFoundError as error:
        raise UserError(f"The checkpoint {checkpoint} has no {name}; it holds: {_content(checkpoint)}.") from error
    except (OSError, RuntimeError, EOFError, LookupError, ValueError, TypeError, pickle.UnpicklingError) as error:
        raise UserError(
            f"Cannot read {checkpoint / name}: the file is damaged or not a checkpoint of ours. Give another step's "
            f"folder. ({type(error).__name__})"
        ) from error


def load_network(network: nn.Module, checkpoint: Path, name: str, *, what: str, known: str = "") -> None:
    """Load the weights of one network.

    Args:
        network: as it was built now.
        checkpoint: folder.
        name: file in it.
        what: what the network is for, in the error.
        known: settings that differ, in words; empty where that is not known.

    Raises:
        UserError: as :func:`read`, or the weights do not fit.
    """
    different = f" Different: {known}." if known else ""
    if not (checkpoint / name).exists():
        raise UserError(f"The checkpoint {checkpoint} has no {name}; it holds: {_content(checkpoint)}.{different}")
    state = read(checkpoint, name)
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        because = different or f" {str(error).splitlines()[-1].strip()}"
        raise UserError(
            f"{checkpoint / name} does not fit {what}: another environment, number of agents or network size.{because}"
        ) from error


def read_settings(checkpoint: Path) -> dict[str, Any]:
    """Read the settings of a checkpoint's run.

    Raises:
        UserError: as :func:`read`.
    """
    settings = read(checkpoint, "settings.pt")
    if not isinstance(settings, dict) or not {"name", "env"} <= settings.keys():
        raise UserError(f"{checkpoint / 'settings.pt'} holds no settings of a run: give another step's folder.")
    return settings


def _content(checkpoint: Path) -> str:
    return ", ".join(sorted(path.name for path in checkpoint.glob("*"))) or "nothing"
