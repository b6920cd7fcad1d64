"""A blend: the mean of a few members' log-probabilities, with one temperature, on features that may be missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # of scikit-learn

from marrow_models.diagnosis.blend_members import FITS, Linear, Member, Parameters, Smooth, Trees

_TEMPERATURES = (0.25, 4.0)


@dataclass(frozen=True, slots=True)
class Blend:
    """A fitted blend of F features for K classes."""

    classes: tuple[str, ...]
    medians: NDArray[np.float64]
    """(F,): what a missing feature is taken for."""
    means: NDArray[np.float64]
    scales: NDArray[np.float64]
    members: tuple[Member, ...]
    temperature: float = 1.0

    def standardised(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (N, F) in standard deviations from the training's mean, missing ones filled in."""
        return (np.where(np.isnan(features), self.medians, features) - self.means) / self.scales

    def scores(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return log-probabilities (N, K) before the temperature; their rows need not add up to one."""
        ready = self.standardised(features)
        return np.asarray(np.mean([m.log_probabilities(ready) for m in self.members], axis=0), dtype=np.float64)

    def probabilities(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (N, K), rows adding up to 1; every class is taken as equally common. NaN is a missing feature."""
        return np.asarray(softmax(self.scores(features) / self.temperature, axis=1), dtype=np.float64)


def fit_blend(features: NDArray[np.float64], labels: NDArray[np.str_], parameters: Mapping[str, Parameters]) -> Blend:
    """Fit the members named in ``parameters`` on rows (N, F) with ``labels`` (N,); the temperature stays 1.

    Missing values become medians and not a feature of their own: what is not measured differs between
    hospitals by habit.
    """
    classes = tuple(str(name) for name in np.unique(labels))
    medians = np.nan_to_num(np.nanmedian(features, axis=0))
    filled = np.where(np.isnan(features), medians, features)
    means, scales = filled.mean(axis=0), filled.std(axis=0)
    blend = Blend(classes, medians, means, np.where(scales > 0, scales, 1.0), ())
    ready = blend.standardised(features)
    # Fits this small only wait for each other's threads, and one thread gives the same numbers on every machine.
    with threadpool_limits(1):
        return replace(blend, members=tuple(FITS[name](ready, labels, own) for name, own in parameters.items()))


def learn_temperature(scores: NDArray[np.float64], labels: NDArray[np.str_], classes: tuple[str, ...]) -> float:
    """Return the temperature with the least log loss on held-out ``scores`` (N, K), every class weighing the same."""
    index = np.array([classes.index(str(label)) for label in labels])
    weights = 1 / np.bincount(index, minlength=len(classes))[index]

    def loss(temperature: float) -> float:
        given = log_softmax(scores / temperature, axis=1)[np.arange(len(index)), index]
        return float(-(weights * given).sum())

    return float(minimize_scalar(loss, bounds=_TEMPERATURES, method="bounded").x)


def blend_arrays(blend: Blend) -> dict[str, NDArray[np.float64]]:
    """Return everything in ``blend`` but the names of its classes, as float arrays."""
    arrays: dict[str, NDArray[np.float64]] = {
        "medians": blend.medians,
        "means": blend.means,
        "scales": blend.scales,
        "temperature": np.array([blend.temperature]),
    }
    for member in blend.members:
        kind = type(member).__name__.lower()
        for name in member.__slots__:
            arrays[f"{kind}.{name}"] = np.atleast_1d(np.asarray(getattr(member, name), dtype=np.float64))
    return arrays


def blend_of_arrays(arrays: Mapping[str, NDArray[np.float64]], classes: tuple[str, ...], features: int) -> Blend:
    """Return the blend in ``arrays``. ValueError or KeyError when they do not fit together or are not finite."""
    for name, values in arrays.items():
        if not np.isfinite(values).all():
            raise ValueError(f"{name} holds values that are not finite")
    own = {name: _shaped(arrays, name, (features,)) for name in ("medians", "means", "scales")}
    temperature = float(_shaped(arrays, "temperature", (1,))[0])
    if not (own["scales"] > 0).all() or temperature <= 0:
        raise ValueError("a scale or the temperature is not positive")
    kinds = tuple(dict.fromkeys(name.split(".")[0] for name in arrays if "." in name))
    if not kinds:
        raise ValueError("there is no member")
    members = tuple(_MAKERS[kind](arrays, len(classes), features) for kind in kinds)
    return Blend(classes, **own, members=members, temperature=temperature)


def _linear(arrays: Mapping[str, NDArray[np.float64]], classes: int, features: int) -> Linear:
    return Linear(
        _shaped(arrays, "linear.coefficients", (classes, features)), _shaped(arrays, "linear.intercepts", (classes,))
    )


def _smooth(arrays: Mapping[str, NDArray[np.float64]], classes: int, features: int) -> Smooth:
    points = arrays["smooth.points"]
    if points.ndim != 2 or not 0 < points.shape[1] <= features:
        raise ValueError("smooth.points has another shape")
    weights = _shaped(arrays, "smooth.weights", (len(points), classes))
    gamma = float(_shaped(arrays, "smooth.gamma", (1,))[0])
    return Smooth(points, gamma, weights, _shaped(arrays, "smooth.intercepts", (classes,)))


def _trees(arrays: Mapping[str, NDArray[np.float64]], classes: int, features: int) -> Trees:
    value, depth = arrays["trees.value"], int(_shaped(arrays, "trees.depth", (1,))[0])
    if value.ndim != 2 or len(value) % classes or not 0 < depth <= 16:
        raise ValueError("trees.value or trees.depth has another shape")
    nodes = {name: _indices(arrays, f"trees.{name}", value.shape, value.shape[1]) for name in ("left", "right")}
    return Trees(
        _indices(arrays, "trees.feature", value.shape, features),
        _shaped(arrays, "trees.threshold", value.shape),
        nodes["left"],
        nodes["right"],
        value,
        _shaped(arrays, "trees.baseline", (classes,)),
        depth,
    )


def _indices(
    arrays: Mapping[str, NDArray[np.float64]], name: str, shape: tuple[int, ...], below: int
) -> NDArray[np.int64]:
    found = _shaped(arrays, name, shape)
    if not ((found >= 0) & (found < below) & (found == np.floor(found))).all():
        raise ValueError(f"{name} points outside of the model")
    return found.astype(np.int64)


def _shaped(arrays: Mapping[str, NDArray[np.float64]], name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    if arrays[name].shape != shape:
        raise ValueError(f"{name} has the shape {arrays[name].shape}, expected was {shape}")
    return arrays[name]


_MAKERS: dict[str, Callable[[Mapping[str, NDArray[np.float64]], int, int], Member]] = {
    "linear": _linear,
    "smooth": _smooth,
    "trees": _trees,
}
