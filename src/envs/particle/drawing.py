"""Pictures of particle worlds: antialiased disks on a light ground, drawn with Pillow."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int] | tuple[int, int, int, int]

SIZE = 400
_SCALE = 2  # drawn larger by this factor, then averaged: antialiasing
_BACKGROUND = (247, 248, 250)
_GROUND = (255, 255, 255)
_GRID = (233, 236, 240)
_TEXT = (92, 101, 115)
_SIGHT = (64, 112, 214, 70)
_WALL = (222, 184, 60)
_PREDATOR, _PREY = (214, 60, 57), (64, 112, 214)
OBSTACLE = (58, 66, 80)
AGENT_COLORS: tuple[tuple[int, int, int], ...] = (
    (64, 112, 214),
    (226, 116, 52),
    (126, 87, 194),
    (0, 150, 146),
    (214, 72, 122),
    (148, 128, 36),
)


@functools.cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


@functools.lru_cache(maxsize=64)
def _empty(extent: float, ground: float) -> Image.Image:
    """Draw the background: the square [-ground, ground] and lines every 0.5 world units."""
    side = SIZE * _SCALE
    image = Image.new("RGB", (side, side), _BACKGROUND)
    draw = ImageDraw.Draw(image)
    low, high = (side * (0.5 + sign * ground / (2 * extent)) for sign in (-1, 1))
    draw.rounded_rectangle((low, low, high, high), 8 * _SCALE, _GROUND, _GRID, 2 * _SCALE)
    for line in np.arange(-ground + 0.5, ground, 0.5):
        at = side * (0.5 + line / (2 * extent))
        draw.line((at, low, at, high), _GRID, _SCALE)
        draw.line((low, at, high, at), _GRID, _SCALE)
    return image


def view_of(pos: np.ndarray, least: float = 1.3) -> float:
    """Return the extent of a view that shows bodies at ``pos`` [M, 2], at least ``least``."""
    return max(least, float(np.abs(pos).max()) + 0.2)


class Canvas:
    """One frame of the square [-extent, extent] around the origin; y points up."""

    def __init__(self, *, extent: float, ground: float = 1.0) -> None:
        self._extent = extent
        self._image = _empty(round(extent, 2), ground).copy()
        self._draw = ImageDraw.Draw(self._image, "RGBA")

    def _pixel(self, x: float, y: float) -> tuple[float, float]:
        half = SIZE * _SCALE / 2
        return half * (1 + x / self._extent), half * (1 - y / self._extent)

    def disk(
        self, center: np.ndarray, radius: float, fill: Color, *, outline: Color | None = None, width: float = 1.5
    ) -> None:
        """Draw a disk; center [2] and radius in world units, the outline's width in pixels."""
        (x, y), r = self._pixel(*center), radius * SIZE * _SCALE / (2 * self._extent)
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill, outline, round(width * _SCALE))

    def ring(self, center: np.ndarray, radius: float) -> None:
        """Draw how far a body sees: a thin circle."""
        self.disk(center, radius, (0, 0, 0, 0), outline=_SIGHT, width=1)

    def walls(self, ground: float) -> None:
        """Draw walls around the square [-ground, ground]."""
        low, high, thick = *(self._pixel(sign * ground, 0)[0] for sign in (-1, 1)), 6 * _SCALE
        self._draw.rectangle((low - thick, low - thick, high + thick, high + thick), None, _WALL, thick)

    def cross(self, center: np.ndarray, radius: float, color: Color) -> None:
        """Draw a diagonal cross."""
        for sign in (-1, 1):
            start = self._pixel(center[0] - radius, center[1] - sign * radius)
            end = self._pixel(center[0] + radius, center[1] + sign * radius)
            self._draw.line((*start, *end), color, 2 * _SCALE)

    def tail(self, start: np.ndarray, end: np.ndarray, radius: float, color: tuple[int, int, int]) -> None:
        """Draw a fading trail of a disk that came from ``start`` [2] to ``end`` [2]."""
        for part, alpha in ((0.0, 22), (0.33, 34), (0.66, 46)):
            self.disk(start + (end - start) * part, radius * (0.55 + 0.4 * part), (*color, alpha))

    def caption(self, left: str, right: str = "") -> None:
        """Write below the ground, at the left and at the right."""
        side, edge = SIZE * _SCALE, 12 * _SCALE
        for words, x, anchor in ((left, edge, "ls"), (right, side - edge, "rs")):
            self._draw.text((x, side - edge), words, _TEXT, _font(13 * _SCALE), anchor=anchor)

    def pixels(self) -> np.ndarray:
        """Return the finished frame: uint8 [400, 400, 3]."""
        return np.array(self._image.reduce(_SCALE))


def draw_chase(
    canvas: Canvas, pos: np.ndarray, vel: np.ndarray, bodies: np.ndarray, n_predators: int, n_preys: int
) -> None:
    """Draw predators, preys and obstacles; a prey that cannot move is captured: a cross.

    Args:
        canvas: the frame.
        pos: [M, 2], predators, preys, obstacles.
        vel: [M, 2].
        bodies: [M] of :data:`envs.particle.physics.BODY`.
        n_predators: how many.
        n_preys: how many.
    """
    agents = n_predators + n_preys
    for center, body in zip(pos[agents:], bodies[agents:], strict=True):
        canvas.disk(center, body["radius"], OBSTACLE)
    colors = [_PREDATOR] * n_predators + [_PREY] * n_preys
    for i in range(agents):
        if bodies["movable"][i]:
            canvas.tail(pos[i] - 0.4 * vel[i], pos[i], bodies["radius"][i], colors[i])
        else:
            canvas.cross(pos[i], bodies["radius"][i], colors[i])
    for i in range(agents):  # above all trails
        if bodies["movable"][i]:
            canvas.disk(pos[i], bodies["radius"][i], colors[i], outline=colors[i], width=2)  # preys are small
