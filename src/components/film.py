"""Films of episodes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np


def write_film(frames: Sequence[np.ndarray], path: Path, *, fps: int = 10) -> Path:
    """Write frames (uint8 [H, W, 3]) as .gif or .mp4, by the suffix of ``path``; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gif":
        from PIL import Image

        images = [Image.fromarray(frame).convert("P", palette=Image.Palette.ADAPTIVE, colors=64) for frame in frames]
        images[0].save(path, save_all=True, append_images=images[1:], duration=1000 // fps, loop=0, optimize=True)
        return path
    import imageio.v2 as imageio

    with imageio.get_writer(path, fps=fps, macro_block_size=2) as writer:
        for frame in frames:
            writer.append_data(frame)  # type: ignore[attr-defined]
    return path
