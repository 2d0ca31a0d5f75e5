"""One run in Weights & Biases, copied from its files."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from mirrors.follower import CopyFailed
from mirrors.points import Column, Points

Mode = Literal["offline", "online", "disabled"]
ANSWER = 10.0  # seconds for its server to answer at the start
REST = 30.0  # ... and to take the rest at the end


class WandbCopy:
    """One run in W&B; the package is imported, and the run begun, with the first points.

    Args:
        folder: of the run.
        mode: online sends, offline writes for ``wandb sync``; what cannot be begun online is begun offline.
        place: folder in which W&B makes its own, "wandb".
        about: more that names the run: entity, project, group, name (None where W&B is to choose).
        models: whether its newest networks are kept in W&B too.
    """

    def __init__(
        self, folder: Path, *, mode: Mode, place: Path, about: Mapping[str, str | None], models: bool = False
    ) -> None:
        self._folder, self._mode, self._place, self._about, self._models = folder, mode, place, about, models
        self._points = Points(folder)
        self._run: Any = None
        self._step = 0
        self._fault: str | None = None

    def sync(self) -> None:
        """Hand on the points that are new.

        Raises:
            CopyFailed: W&B does not take them.
            OSError: the files cannot be read.
        """
        if self._run is None:
            self._run = self._begin()
        while columns := self._points.read():
            for step, values in _rows(columns):
                self._step = max(self._step, step)  # W&B takes no step that is smaller than the last
                self._call("log", values, step=self._step)
        if self._fault is not None:
            fault, self._fault = self._fault, None
            raise CopyFailed(fault)

    def close(self) -> None:
        """End W&B's run as this one has ended.

        Raises:
            CopyFailed: W&B does not end it.
            OSError: the files cannot be read.
        """
        entry, info = (json.loads((self._folder / f"{name}.json").read_text()) for name in ("run", "info"))
        if self._models and info.get("models"):
            newest = max(Path(info["models"]).glob("[0-9]*"), key=lambda path: int(path.name), default=None)
            if newest is not None:
                self._call("save", str(newest / "*.th"), base_path=str(newest.parent.parent), policy="now")
        self._call("finish", exit_code=0 if entry.get("status") == "COMPLETED" else 1)

    def _begin(self) -> Any:
        config = json.loads((self._folder / "config.json").read_text())
        try:
            import wandb
        except ImportError as error:
            raise CopyFailed(f"the package cannot be imported ({error})") from error
        logging.getLogger("wandb").setLevel(logging.CRITICAL)
        settings: dict[str, Any] = {"console": "off", "silent": True, "quiet": True, "disable_git": True}
        settings |= {"disable_code": True, "finish_timeout": REST, "finish_timeout_raises": True}
        settings |= {"init_timeout": ANSWER} if self._mode == "online" else {}
        given = dict(self._about) | {"config": config, "dir": str(self._place)}
        try:
            wandb.setup(settings=wandb.Settings(silent=True))  # what it prints is not for this console
            return wandb.init(mode=self._mode, settings=wandb.Settings(**settings), **given)
        except Exception as error:  # of any kind: it is others' code, and must not end the thread
            if self._mode != "online":
                raise CopyFailed(_line(error)) from error
            self._fault = f"{_line(error)}; recorded offline instead, for `wandb sync`"
            self._mode = "offline"
            return self._begin()

    def _call(self, method: str, *values: Any, **named: Any) -> None:
        try:
            getattr(self._run, method)(*values, **named)
        except Exception as error:  # as above
            raise CopyFailed(_line(error)) from error


def _rows(columns: Mapping[str, Column]) -> list[tuple[int, dict[str, Any]]]:
    """Points by step, in rising order; of one metric's points at one step the last counts."""
    rows: dict[int, dict[str, Any]] = {}
    for name, column in columns.items():
        for step, value in zip(column.steps, column.values, strict=True):
            rows.setdefault(int(step), {})[name] = float("nan") if value is None else value
    return sorted(rows.items())


def _line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."
