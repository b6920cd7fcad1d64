"""Things without a nucleus: red cells, platelets, precipitate, dust. Small pictures pasted many times."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

from marrow_models.phantom.stain import Stain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Density = NDArray[np.float32]
    Levels = NDArray[np.uint8]
    Sprite = NDArray[np.uint16]

_LEVELS_PER_DENSITY = 100
_RED_CELLS, _PLATELETS, _DIRT = 36, 12, 12
_PLATELET = np.array([172, 118, 190], np.float32)
_PRECIPITATE = np.array([70, 24, 110], np.float32)
_DUST = np.array([96, 92, 100], np.float32)


@dataclass(frozen=True, slots=True)
class SpriteBox:
    """A slide's sprites: transmittances (h, w, 3), uint16, 256 lets all light through."""

    red_cells: tuple[Sprite, ...]
    platelets: tuple[Sprite, ...]
    dirt: tuple[Sprite, ...]


def sprite_box(stain: Stain, um_per_px: float) -> SpriteBox:
    """Return the sprites in this slide's stain."""
    red, platelets, precipitate, dust = _densities(um_per_px)
    red_density = -np.log(np.minimum(stain.red_cell / stain.glass, 0.98))
    return SpriteBox(
        _coloured(red, red_density),
        _coloured(platelets, -np.log(stain.applied(_PLATELET) / 255)),
        _coloured(precipitate, -np.log(stain.applied(_PRECIPITATE) / 255)) + _coloured(dust, -np.log(_DUST / 255)),
    )


def paste(canvas: NDArray[np.uint8], sprite: Sprite, x: int, y: int) -> None:
    """Multiply the sprite into the canvas, its middle at column x and row y; parts outside are cut."""
    height, width = sprite.shape[:2]
    top, left = y - height // 2, x - width // 2
    cut_top, cut_left = max(0, -top), max(0, -left)
    window = canvas[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)]
    part = sprite[cut_top : cut_top + window.shape[0], cut_left : cut_left + window.shape[1]]
    if part.size:
        light = window * part
        light >>= 8
        window[...] = light


def _coloured(shapes: tuple[Levels, ...], channels: NDArray[np.float32]) -> tuple[Sprite, ...]:
    density = np.arange(256, dtype=np.float32)[:, None] / _LEVELS_PER_DENSITY
    table = np.round(256 * np.exp(-density * channels)).astype(np.uint16)
    return tuple(table.take(levels, axis=0) for levels in shapes)


def _levels(density: Density) -> Levels:
    """Optical density in steps, so that a slide's stain is a table to look up in."""
    return np.asarray(np.clip(np.round(density * _LEVELS_PER_DENSITY), 0, 255), dtype=np.uint8)


@lru_cache(maxsize=8)
def _densities(
    um_per_px: float,
) -> tuple[tuple[Levels, ...], tuple[Levels, ...], tuple[Levels, ...], tuple[Levels, ...]]:
    rng = np.random.default_rng(70_301)
    return (
        tuple(_levels(_red_cell(rng, um_per_px)) for _ in range(_RED_CELLS)),
        tuple(_levels(_platelet(rng, um_per_px)) for _ in range(_PLATELETS)),
        tuple(_levels(_precipitate(rng, um_per_px)) for _ in range(_DIRT)),
        tuple(_levels(_dust(rng, um_per_px)) for _ in range(_DIRT)),
    )


def _grid(radius_um: float, um_per_px: float) -> tuple[Density, Density]:
    half = math.ceil(radius_um / um_per_px) + 1
    axis = (np.arange(2 * half + 1, dtype=np.float32) - half) * np.float32(um_per_px)
    x, y = np.meshgrid(axis, axis)
    return x, y


def _disc(x: Density, y: Density, radius_um: float, edge_um: float) -> Density:
    return np.asarray(np.clip(0.5 - (np.hypot(x, y) - radius_um) / edge_um, 0, 1), np.float32)


def _red_cell(rng: np.random.Generator, um_per_px: float) -> Density:
    """Draw a disc with central pallor, somewhat oval, with a slightly darker rim."""
    radius = rng.uniform(5.0, 7.5) / 2
    x, y = _grid(radius * 1.25, um_per_px)
    angle, stretch = rng.uniform(0, math.pi), math.sqrt(1 + abs(rng.normal(0, 0.12)))
    u = (math.cos(angle) * x + math.sin(angle) * y) / stretch
    v = (math.cos(angle) * y - math.sin(angle) * x) * stretch
    theta = np.arctan2(v, u)
    wave = 1 + rng.normal(0, 0.03) * np.cos(2 * theta) + rng.normal(0, 0.03) * np.cos(3 * theta + 1)
    r = np.hypot(u, v) / (radius * wave)
    body = np.clip(0.5 - (r - 1) * radius / max(0.3, um_per_px), 0, 1)
    pallor = rng.uniform(0.1, 0.65)
    rim = 0.25 * np.exp(-(((r - 0.9) / 0.12) ** 2))
    return np.asarray(body * (1 + rim - pallor * np.exp(-((r / 0.45) ** 2))), np.float32)


def _platelet(rng: np.random.Generator, um_per_px: float) -> Density:
    radius = rng.uniform(0.8, 1.7)
    x, y = _grid(radius * 1.5, um_per_px)
    body = _disc(x * rng.uniform(0.75, 1.0), y, radius, 0.5) * np.float32(0.5)
    spots = np.zeros_like(body)
    for _ in range(int(rng.integers(3, 9))):
        angle, reach = rng.uniform(0, 2 * math.pi), 0.7 * radius * math.sqrt(rng.random())
        dx, dy = np.float32(reach * math.cos(angle)), np.float32(reach * math.sin(angle))
        spots += _disc(x - dx, y - dy, 0.28, 0.35) * np.float32(0.6)
    return np.asarray(body + np.minimum(spots, np.float32(1.2)) * (body > 0), np.float32)


def _precipitate(rng: np.random.Generator, um_per_px: float) -> Density:
    """Draw a cluster of stain crystals."""
    radius = rng.uniform(0.8, 4.0)
    x, y = _grid(radius + 1.0, um_per_px)
    spots = np.zeros_like(x)
    for _ in range(int(rng.integers(2, 6 + int(6 * radius)))):
        dx, dy = rng.normal(0, radius / 2.2, 2)
        spots += _disc(x - np.float32(dx), y - np.float32(dy), rng.uniform(0.15, 0.5), 0.35)
    return np.minimum(spots, np.float32(1.0))


def _dust(rng: np.random.Generator, um_per_px: float) -> Density:
    """Draw a grain or a fibre, a little out of focus."""
    length, width = rng.uniform(1.0, 9.0), rng.uniform(0.3, 0.9)
    x, y = _grid(length / 2 + 2.5, um_per_px)
    angle = rng.uniform(0, math.pi)
    along = np.abs(math.cos(angle) * x + math.sin(angle) * y) - length / 2
    across = math.cos(angle) * y - math.sin(angle) * x
    bend = np.float32(rng.normal(0, 0.05)) * along * along
    bent = np.asarray(across + bend, np.float32)
    grain = _disc(np.asarray(np.maximum(along, 0), np.float32), bent, width, 0.4)
    return np.asarray(gaussian_filter(grain, 0.5 / um_per_px) * rng.uniform(0.4, 0.9), np.float32)
