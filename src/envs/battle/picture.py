"""Pictures of battles: terrain, units by type and side, bars of health and shield, shots; drawn with Pillow."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from envs.battle.maps import BattleMap, load_map
from envs.battle.simulator import Simulator
from envs.battle.units import BLAST, HEAL, LINE, UNIT_TYPES, UnitType

_CELL = 20
_SCALE = 2  # drawn larger by this factor, then averaged: antialiasing
_CAPTION = 26
_VOID, _CLIFF, _TEXT = (58, 64, 74), (122, 116, 108), (226, 230, 236)
_GROUND_LOW, _GROUND_HIGH = (214, 208, 194), (240, 236, 226)
_ALLY, _ENEMY = (52, 104, 214), (206, 62, 52)
_HEALTH, _SHIELD, _BAR, _HEALING = (64, 176, 84), (84, 170, 240), (40, 44, 52), (70, 190, 100)
_LETTERS = {"marauder": "R", "medivac": "+", "stalker": "S", "zealot": "Z", "colossus": "C", "spine_crawler": "X"}
"""Types that are told from others by a letter, where they are large enough to hold it."""


@functools.cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


class _Frame:
    """One frame: the part of the map that units can reach, north up, and a caption below."""

    def __init__(self, battle_map: BattleMap) -> None:
        self.image = _terrain(battle_map.name).copy()
        self.draw = ImageDraw.Draw(self.image, "RGBA")
        (self._west, _), (_, self._north) = _bounds(battle_map)

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point of the map lies in the picture."""
        unit = _CELL * _SCALE
        return (x - self._west) * unit, (self._north - y) * unit

    def disk(self, x: float, y: float, radius: float, fill: tuple[int, ...], rim: tuple[int, ...]) -> None:
        """Draw a disk; place and radius in cells."""
        (px, py), r = self.pixel(x, y), radius * _CELL * _SCALE
        self.draw.ellipse((px - r, py - r, px + r, py + r), fill, rim, _SCALE)

    def bar(self, x: float, y: float, width: float, filled: float, color: tuple[int, ...]) -> None:
        """Draw a bar whose left part is filled; place of its centre and width in cells."""
        px, py = self.pixel(x - width / 2, y)
        length, height = width * _CELL * _SCALE, 2.5 * _SCALE
        self.draw.rectangle((px, py, px + length, py + height), _BAR)
        if filled > 0:
            self.draw.rectangle((px, py, px + length * min(filled, 1.0), py + height), color)


def _bounds(battle_map: BattleMap) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return ((west, east), (south, north)), the edges of the cells that can be entered from a spawn point."""
    reached = battle_map.reached
    columns, rows = np.flatnonzero(reached.any(1)), np.flatnonzero(reached.any(0))
    size = reached.shape[0]
    west, east = max(int(columns[0]) - 1, 0), min(int(columns[-1]) + 2, size)
    south, north = max(int(rows[0]) - 1, 0), min(int(rows[-1]) + 2, size)
    return (west, east), (south, north)


@functools.cache
def _terrain(name: str) -> Image.Image:
    """Draw the terrain of a map, with room for the caption."""
    battle_map = load_map(name)
    reached = battle_map.reached
    (west, east), (south, north) = _bounds(battle_map)
    unit = _CELL * _SCALE
    image = Image.new("RGB", ((east - west) * unit, (north - south) * unit + _CAPTION * _SCALE), _VOID)
    draw = ImageDraw.Draw(image)
    low, high = battle_map.height[reached].min(), battle_map.height[reached].max()
    for x, y in np.argwhere(reached):
        level = (battle_map.height[x, y] - low) / (high - low) if high > low else 1.0
        ground = tuple(round(a + (b - a) * level) for a, b in zip(_GROUND_LOW, _GROUND_HIGH, strict=True))
        left, top = (x - west) * unit, (north - 1 - y) * unit
        color = ground if battle_map.walkable[x, y] else _CLIFF
        draw.rectangle((left, top, left + unit - 1, top + unit - 1), color)
    return image


def _draw_unit(frame: _Frame, unit: np.void, kind: UnitType, color: tuple[int, ...]) -> None:
    flying = kind.effect == HEAL
    if kind.effect == BLAST:
        color = tuple((part + 255) // 2 for part in color)
    frame.disk(unit["x"], unit["y"], kind.radius, (*color, 150 if flying else 235), (255, 255, 255, 230))
    letter = _LETTERS.get(kind.name)
    if letter:
        size = round(1.1 * kind.radius * _CELL * _SCALE)
        middle = frame.pixel(unit["x"], unit["y"] + 0.3 * kind.radius)
        frame.draw.text(middle, letter, (255, 255, 255), _font(size), anchor="mm")
    width, low = 1.6 * kind.radius, unit["y"] - 0.4 * kind.radius  # on the unit itself: in a crowd nothing else is free
    frame.bar(unit["x"], low, width, unit["health"] / kind.health, _HEALTH)
    if kind.shield:
        frame.bar(unit["x"], low + 2.5 / _CELL, width, unit["shield"] / kind.shield, _SHIELD)


def _draw_shot(frame: _Frame, unit: np.void, target: np.void, kind: UnitType, color: tuple[int, ...]) -> None:
    if kind.effect == BLAST:
        frame.disk(unit["x"], unit["y"], 2.2, (240, 170, 60, 90), (240, 170, 60, 200))
        return
    ends = (*frame.pixel(unit["x"], unit["y"]), *frame.pixel(target["x"], target["y"]))
    shade = _HEALING if kind.effect == HEAL else color
    frame.draw.line(ends, (*shade, 170), (3 if kind.effect in (HEAL, LINE) else 2) * _SCALE)


def draw(simulator: Simulator, slot: int, *, step: int, limit: int) -> np.ndarray:
    """Draw one battle: uint8 [H, W, 3]; allies are blue, enemies red, the dead are small crosses."""
    battle_map, units = simulator.battle_map, simulator.units[slot]
    frame = _Frame(battle_map)
    kinds = [UNIT_TYPES[index] for index in battle_map.types]
    colors = [_ALLY if i < battle_map.n_allies else _ENEMY for i in range(len(units))]
    for unit, color in zip(units, colors, strict=True):
        if not unit["alive"]:
            (x, y), r = frame.pixel(unit["x"], unit["y"]), 3 * _SCALE
            for side in (-1, 1):
                frame.draw.line((x - r, y - side * r, x + r, y + side * r), (*color, 120), _SCALE)
    for unit, kind, color in zip(units, kinds, colors, strict=True):
        if unit["shot"] >= 0:
            _draw_shot(frame, unit, units[unit["shot"]], kind, color)
    for i in sorted(np.flatnonzero(units["alive"]), key=lambda i: kinds[i].layer):
        _draw_unit(frame, units[i], kinds[i], colors[i])
    alive, n_allies = units["alive"], battle_map.n_allies
    left = f"{battle_map.name}   step {step} / {limit}"
    right = f"{alive[:n_allies].sum()} allies   {alive[n_allies:].sum()} enemies"
    edge, bottom = 8 * _SCALE, frame.image.height - 8 * _SCALE
    for words, x, anchor in ((left, edge, "ls"), (right, frame.image.width - edge, "rs")):
        frame.draw.text((x, bottom), words, _TEXT, _font(13 * _SCALE), anchor=anchor)
    return np.array(frame.image.reduce(_SCALE))
