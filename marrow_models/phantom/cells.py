"""Drawing one nucleated cell: a small picture with soft edges and the box around it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

from marrow_models.phantom.inks import Ink, InkPlanes
from marrow_models.phantom.morphology import Morphology
from marrow_models.phantom.nuclei import Chain, sample_chain
from marrow_models.phantom.stain import Stain
from marrow_models.phantom.textures import noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

_PALE = (236, 234, 242)
_AUER_ROD = (150, 30, 90)
# Nucleoli are this much lighter than the chromatin around them.
_NUCLEOLUS_TINT = np.array([56, 70, 56], np.float32)
_LARGEST_UM = 40.0
# How cells of one kind on one slide differ in colour, on the scale of 0 to 255.
_HUE_SD, _BRIGHTNESS_SD = 6.0, 5.0


@dataclass(frozen=True, slots=True)
class CellPicture:
    """A cell on its own square patch, its centre at the middle pixel.

    ``colour`` is float32 (n, n, 3), 0 to 255, already multiplied by ``alpha``, float32 (n, n), 0 to 1. ``box`` is
    (left, top, right, bottom) in pixels of the patch, half-open, tight around the cell with its cytoplasm.
    """

    label: str
    colour: NDArray[np.float32]
    alpha: NDArray[np.float32]
    box: tuple[int, int, int, int]

    @property
    def half_px(self) -> int:
        """Index of the middle pixel."""
        return int(self.alpha.shape[0]) // 2


@dataclass(frozen=True, slots=True, eq=False)
class CellPlan:
    """A cell whose size is known, so that it can be placed before it is drawn. Each plan equals itself only."""

    morphology: Morphology
    diameter_um: float
    elongation: float

    @property
    def radius_um(self) -> float:
        """Half of the cell's longest diameter, without the waviness of its outline."""
        return self.diameter_um / 2 * math.sqrt(self.elongation)


@dataclass(frozen=True, slots=True)
class _Sheet:
    """The patch a cell is drawn on: coordinates in um from its centre, distances from membranes."""

    x: Plane
    """Shape (1, n)."""
    y: Plane
    """Shape (n, 1)."""
    outline: Plane
    """Signed distance from the cell's membrane, um, negative inside."""
    nuclear: Plane
    """Signed distance from the nuclear membrane."""
    chain: Chain
    um_per_px: float

    def disc(self, x_um: float, y_um: float, radius_um: float, edge_um: float) -> Plane:
        """Draw a disc with a soft edge."""
        dx, dy = self.x - np.float32(x_um), self.y - np.float32(y_um)
        return _soft(np.sqrt(dx * dx + dy * dy) - np.float32(radius_um), edge_um)

    def random_point(self, rng: np.random.Generator, where: NDArray[np.bool_]) -> tuple[float, float] | None:
        """Pick a random point of the patch where ``where`` holds; None if there is none."""
        spots = np.flatnonzero(where)
        if not len(spots):
            return None
        row, column = divmod(int(spots[int(rng.random() * len(spots))]), where.shape[1])
        return float(self.x[0, column]), float(self.y[row, 0])


def plan_cell(rng: np.random.Generator, morphology: Morphology) -> CellPlan:
    """Draw the size of a cell of that kind."""
    diameter = min(morphology.diameter_um.sample(rng), _LARGEST_UM)
    return CellPlan(morphology, diameter, max(1.0, morphology.elongation.sample(rng)))


def draw_cell(rng: np.random.Generator, plan: CellPlan, um_per_px: float, stain: Stain) -> CellPicture:
    """Draw the planned cell at ``um_per_px`` with the slide's stain."""
    kind = plan.morphology
    sheet = _sheet(rng, plan, um_per_px)
    inside = _soft(sheet.nuclear, max(kind.nucleus.edge_um, um_per_px))
    inks = InkPlanes(*sheet.outline.shape)
    _lay_cytoplasm(rng, inks, kind, sheet)
    _lay_nucleus(rng, inks, kind, sheet, inside)
    _lay_granules(rng, inks, kind, sheet, inside)
    if kind.auer_rod and rng.random() < kind.auer_rod:
        _lay_auer_rod(rng, inks, sheet)
    alpha = _soft(sheet.outline, max(kind.edge_um, um_per_px))
    return CellPicture(kind.label, inks.colours(_palette(rng, kind, stain), alpha), alpha, _box(sheet.outline))


def _palette(rng: np.random.Generator, kind: Morphology, stain: Stain) -> NDArray[np.float32]:
    """Mix the cell's inks in the slide's stain, (inks, 3)."""
    shift = _HUE_SD * rng.standard_normal(3) + _BRIGHTNESS_SD * rng.standard_normal()
    base = np.array(
        [kind.cytoplasm.colour, _PALE, kind.chromatin.colour, kind.chromatin.colour, kind.granules.colour, _AUER_ROD],
        np.float32,
    )
    palette = stain.applied(np.minimum(np.maximum(base + shift, 4), 250).astype(np.float32))
    palette[Ink.NUCLEOLUS] += _NUCLEOLUS_TINT
    return palette


def _soft(distance_um: Plane, edge_um: float) -> Plane:
    """1 inside, 0 outside, falling over ``edge_um``."""
    ramp = distance_um * np.float32(-1 / edge_um)
    ramp += np.float32(0.5)
    np.maximum(ramp, 0, out=ramp)
    return np.asarray(np.minimum(ramp, 1, out=ramp), dtype=np.float32)


def _box(outline_um: Plane) -> tuple[int, int, int, int]:
    within = outline_um < 0
    rows, columns = np.flatnonzero(within.any(axis=1)), np.flatnonzero(within.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _sheet(rng: np.random.Generator, plan: CellPlan, um_per_px: float) -> _Sheet:
    kind = plan.morphology
    reach = plan.radius_um * (1 + 2.1 * kind.irregularity) + kind.edge_um
    half = math.ceil(reach / um_per_px) + 1
    axis = (np.arange(2 * half + 1, dtype=np.float32) - half) * np.float32(um_per_px)
    x, y = axis[None], axis[:, None]
    outline = _outline_um(rng, plan, x, y, um_per_px)
    radius = plan.diameter_um / 2
    area = math.pi * radius**2 * min(0.92, max(0.1, kind.nuclear_fraction.sample(rng)))
    chain = sample_chain(rng, kind.nucleus, area, radius / math.sqrt(plan.elongation))
    wave = noise(rng, outline.shape, max(0.8, 0.22 * chain.width_um) / um_per_px)
    nuclear = chain.distance_um(x, y)
    nuclear += np.float32(kind.nucleus.irregularity * chain.width_um / 2) * wave
    np.maximum(nuclear, outline + np.float32(0.2), out=nuclear)  # a nucleus never leaves its cell
    return _Sheet(x, y, outline, nuclear, chain, um_per_px)


def _outline_um(rng: np.random.Generator, plan: CellPlan, x: Plane, y: Plane, um_per_px: float) -> Plane:
    """Signed distance from the membrane: an ellipse with a wavy edge."""
    angle = rng.random() * math.pi
    cos, sin = math.cos(angle), math.sin(angle)
    stretch = math.sqrt(plan.elongation)
    u = np.float32(cos / stretch) * x + np.float32(sin / stretch) * y
    v = np.float32(cos * stretch) * y - np.float32(sin * stretch) * x
    u *= u
    v *= v
    u += v
    np.sqrt(u, out=u)
    radius = plan.diameter_um / 2
    wave = noise(rng, u.shape, 0.22 * plan.diameter_um / um_per_px)
    wave = np.minimum(np.maximum(wave, -2), 2)
    u -= np.float32(radius) + np.float32(radius * plan.morphology.irregularity) * wave
    return u


def _lay_cytoplasm(rng: np.random.Generator, inks: InkPlanes, kind: Morphology, sheet: _Sheet) -> None:
    traits = kind.cytoplasm
    shade = np.float32(traits.mottling) * noise(rng, sheet.outline.shape, 0.55 / sheet.um_per_px)
    depth = _soft(-sheet.outline - np.float32(1.1), 2.2)  # 1 at the membrane, 0 from 2.2 um inwards
    shade -= np.float32(traits.edge) * depth
    shade += 1
    inks.shade(Ink.CYTOPLASM, shade)
    hof = traits.hof.sample(rng)
    if hof > 0:
        _lay_hof(inks, hof, sheet)
    for _ in range(traits.vacuoles.sample(rng)):
        diameter = max(0.6, traits.vacuole_um.sample(rng))
        spot = sheet.random_point(rng, (sheet.outline < -0.6 * diameter) & (sheet.nuclear > 0.4 * diameter))
        if spot:
            inks.lay(Ink.PALE, sheet.disc(*spot, diameter / 2, 0.35) * np.float32(0.75))


def _lay_hof(inks: InkPlanes, hof: float, sheet: _Sheet) -> None:
    """Pale zone on the side of the nucleus that looks to the cell's centre."""
    chain = sheet.chain
    cx, cy = float(chain.x_um.mean()), float(chain.y_um.mean())
    away = math.hypot(cx, cy) or 1.0
    reach = chain.width_um * 0.55
    dx, dy = sheet.x - np.float32(cx - reach * cx / away), sheet.y - np.float32(cy - reach * cy / away)
    pale = np.exp((dx * dx + dy * dy) * np.float32(-0.5 / (0.3 * chain.width_um) ** 2))
    inks.lay(Ink.PALE, pale * np.float32(0.8 * hof))


def _lay_nucleus(rng: np.random.Generator, inks: InkPlanes, kind: Morphology, sheet: _Sheet, inside: Plane) -> None:
    chromatin = kind.chromatin
    inks.lay(Ink.CHROMATIN, inside)
    shape = (inside.shape[0], inside.shape[1])
    contrast = np.float32(chromatin.contrast.sample(rng))
    shade = np.tanh(np.float32(1.2) * noise(rng, shape, chromatin.scale_um / sheet.um_per_px))
    shade += np.float32(0.35) * noise(rng, shape, 0.25 / sheet.um_per_px)
    shade *= contrast
    if chromatin.rim:
        shade -= np.float32(chromatin.rim) * _soft(-sheet.nuclear - np.float32(0.35), 0.7)
    shade += 1
    inks.shade(Ink.CHROMATIN, shade)
    for _ in range(kind.nucleoli.count.sample(rng)):
        _lay_nucleolus(rng, inks, kind, sheet, inside)


def _lay_nucleolus(rng: np.random.Generator, inks: InkPlanes, kind: Morphology, sheet: _Sheet, inside: Plane) -> None:
    chain = sheet.chain
    at = int(rng.random() * len(chain.radius_um))
    angle, reach = rng.random() * 2 * math.pi, 0.6 * math.sqrt(rng.random()) * float(chain.radius_um[at])
    x, y = float(chain.x_um[at]) + reach * math.cos(angle), float(chain.y_um[at]) + reach * math.sin(angle)
    cover = sheet.disc(x, y, max(0.4, kind.nucleoli.diameter_um.sample(rng) / 2), 0.5)
    cover *= inside
    cover *= np.float32(min(1.0, max(0.0, kind.nucleoli.visibility.sample(rng))))
    inks.lay(Ink.NUCLEOLUS, cover)


def _lay_granules(rng: np.random.Generator, inks: InkPlanes, kind: Morphology, sheet: _Sheet, inside: Plane) -> None:
    traits = kind.granules
    per_um2 = traits.per_um2.sample(rng)
    if per_um2 <= 0:
        return
    size = inside.shape[0]
    number = int(rng.poisson(per_um2 * (size * sheet.um_per_px) ** 2))
    strength = rng.uniform(0.6, 1.3, number)
    spots = np.bincount(rng.integers(0, size * size, number), strength, size * size).astype(np.float32)
    sigma = max(0.45, traits.diameter_um / 2 / sheet.um_per_px / 1.6)
    cover = gaussian_filter(spots.reshape(size, size), sigma, mode="constant", truncate=2.5)
    cover *= np.float32(2 * math.pi * sigma**2)
    np.minimum(cover, 1, out=cover)
    cover *= sheet.outline < -0.25
    cover *= np.float32(traits.opacity) - np.float32(traits.opacity * (1 - traits.over_nucleus)) * inside
    inks.lay(Ink.GRANULE, cover)


def _lay_auer_rod(rng: np.random.Generator, inks: InkPlanes, sheet: _Sheet) -> None:
    """Lay a thin red rod in the cytoplasm."""
    spot = sheet.random_point(rng, (sheet.outline < -0.5) & (sheet.nuclear > 0.2))
    if spot is None:
        return
    x, y = sheet.x - np.float32(spot[0]), sheet.y - np.float32(spot[1])
    angle, half_length = rng.random() * math.pi, rng.uniform(1.2, 2.2)
    along = np.float32(math.cos(angle)) * x + np.float32(math.sin(angle)) * y
    across = np.float32(math.cos(angle)) * y - np.float32(math.sin(angle)) * x
    distance = np.hypot(np.maximum(np.abs(along) - np.float32(half_length), 0), across) - np.float32(0.22)
    inks.lay(Ink.ROD, _soft(distance, max(0.3, sheet.um_per_px)) * np.float32(0.85) * (sheet.outline < 0))
