"""Writing of films."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.errors import UserError

NEEDS = {".gif": {"PIL": "pillow"}, ".mp4": {"imageio": "imageio", "imageio_ffmpeg": "imageio-ffmpeg"}}


def check_film(suffix: str) -> None:
    """Check, before anything is trained, that films of a format (".gif" or ".mp4") can be written.

    Raises:
        UserError: a package is missing.
    """
    missing = [package for module, package in NEEDS[suffix].items() if importlib.util.find_spec(module) is None]
    if missing:
        raise UserError(f"Films as {suffix} need the Python package {' and '.join(missing)}: pip install it.")


def write_film(frames: Sequence[np.ndarray], path: Path, *, fps: int = 10) -> Path:
    """Write frames (uint8 [H, W, 3]) as .gif or .mp4, by the suffix of ``path``; returns the path.

    Raises:
        OSError: it cannot be written; no half of a film stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.tmp{path.suffix}")
    try:
        (_write_gif if path.suffix == ".gif" else _write_mp4)(frames, temporary, fps)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _write_gif(frames: Sequence[np.ndarray], path: Path, fps: int) -> None:
    from PIL import Image

    images = [Image.fromarray(frame).convert("P", palette=Image.Palette.ADAPTIVE, colors=64) for frame in frames]
    images[0].save(path, save_all=True, append_images=images[1:], duration=1000 // fps, loop=0, optimize=True)


def _write_mp4(frames: Sequence[np.ndarray], path: Path, fps: int) -> None:
    import imageio.v2 as imageio

    with imageio.get_writer(path, fps=fps, macro_block_size=2) as writer:
        for frame in frames:
            height, width = frame.shape[:2]
            even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")  # the codec wants it
            writer.append_data(even)  # type: ignore[attr-defined]
