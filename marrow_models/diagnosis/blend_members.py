"""Three small classifiers that are kept as plain arrays: a linear one, a smooth one and one of shallow trees.

scikit-learn fits them; what it fitted is taken out as arrays, so that a stored model holds numbers and nothing else.
Every class weighs the same in each fit, however many patients it has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_sample_weight

LARGEST_DEVIATION = 2.5
"""Standard deviations at which the smooth member cuts a feature off: outside nothing was learned."""

_ITERATIONS = 3000
_POINTS = 400  # of the kernel; all patients of a smaller training


@dataclass(frozen=True, slots=True)
class Linear:
    """Multinomial logistic regression on F features for K classes."""

    coefficients: NDArray[np.float64]
    """(K, F)"""
    intercepts: NDArray[np.float64]
    """(K,)"""

    def log_probabilities(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (N, K) of standardised features (N, F)."""
        return np.asarray(log_softmax(features @ self.coefficients.T + self.intercepts, axis=1), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Smooth:
    """Logistic regression on a Gaussian kernel (Nystroem) of the first F features, M points, K classes."""

    points: NDArray[np.float64]
    """(M, F)"""
    gamma: float
    weights: NDArray[np.float64]
    """(M, K)"""
    intercepts: NDArray[np.float64]
    """(K,)"""

    def log_probabilities(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (N, K) of standardised features (N, F or more)."""
        cut = _cut(features, self.points.shape[1])
        squared = ((cut[:, None, :] - self.points[None, :, :]) ** 2).sum(axis=2)
        raw = np.exp(-self.gamma * squared) @ self.weights + self.intercepts
        return np.asarray(log_softmax(raw, axis=1), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Trees:
    """Gradient-boosted trees: T of them, at most M nodes each. A leaf is its own child."""

    feature: NDArray[np.int64]
    """(T, M)"""
    threshold: NDArray[np.float64]
    """(T, M); a patient at or below it goes left."""
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: NDArray[np.float64]
    """(T, M)"""
    baseline: NDArray[np.float64]
    """(K,); tree t adds to class t modulo K."""
    depth: int

    def log_probabilities(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (N, K) of standardised features (N, F)."""
        single = features.astype(np.float32)  # the thresholds were found on single precision
        patients, trees = np.arange(len(features))[:, None], np.arange(len(self.feature))[None, :]
        node = np.zeros((len(features), len(self.feature)), dtype=np.int64)
        for _ in range(self.depth):
            goes_left = single[patients, self.feature[trees, node]] <= self.threshold[trees, node]
            node = np.where(goes_left, self.left[trees, node], self.right[trees, node])
        classes = len(self.baseline)
        sums = self.value[trees, node].reshape(len(features), -1, classes).sum(axis=1)
        return np.asarray(log_softmax(sums + self.baseline, axis=1), dtype=np.float64)


Member = Linear | Smooth | Trees
Parameters = Mapping[str, float]


def fit_linear(features: NDArray[np.float64], classes: NDArray[np.str_], parameters: Parameters) -> Linear:
    """Fit with ``c`` (inverse regularisation) on standardised features without NaN; three or more classes."""
    model = LogisticRegression(C=parameters["c"], max_iter=_ITERATIONS, class_weight="balanced")
    model.fit(features, classes)
    return Linear(np.array(model.coef_), np.array(model.intercept_))


def fit_smooth(features: NDArray[np.float64], classes: NDArray[np.str_], parameters: Parameters) -> Smooth:
    """Fit with ``c``, ``gamma`` (of the kernel, per squared standard deviation) and ``features`` (how many, the first).

    The points of the kernel are drawn from the patients, the same for the same patients.
    """
    cut = _cut(features, int(parameters["features"]))
    points = min(_POINTS, len(cut))
    kernel = Nystroem(gamma=parameters["gamma"], n_components=points, random_state=0)
    model = LogisticRegression(C=parameters["c"], max_iter=_ITERATIONS, class_weight="balanced")
    model.fit(kernel.fit_transform(cut), classes)
    weights = kernel.normalization_.T @ model.coef_.T
    return Smooth(np.array(kernel.components_), float(parameters["gamma"]), weights, np.array(model.intercept_))


def fit_trees(features: NDArray[np.float64], classes: NDArray[np.str_], parameters: Parameters) -> Trees:
    """Fit with ``rounds``, ``depth``, ``rate`` and ``leaf`` (fewest patients in one); three or more classes."""
    model = GradientBoostingClassifier(
        n_estimators=int(parameters["rounds"]),
        max_depth=int(parameters["depth"]),
        learning_rate=parameters["rate"],
        min_samples_leaf=int(parameters["leaf"]),
        subsample=0.7,
        max_features=0.4,
        random_state=0,
    )
    model.fit(features, classes, sample_weight=compute_sample_weight("balanced", classes))
    made = _as_arrays(model, parameters)
    # The starting value of scikit-learn is private; what the trees leave of its result is the same in every row.
    raw = np.asarray(model.decision_function(features[:1]), dtype=np.float64)[0]
    grown = made.log_probabilities(features[:1])[0]
    return Trees(made.feature, made.threshold, made.left, made.right, made.value, log_softmax(raw) - grown, made.depth)


def _as_arrays(model: GradientBoostingClassifier, parameters: Parameters) -> Trees:
    trees = [estimator.tree_ for estimator in model.estimators_.ravel()]
    shape = (len(trees), max(tree.node_count for tree in trees))
    feature, threshold, value = np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape)
    left, right = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for t, tree in enumerate(trees):
        size, own = tree.node_count, np.arange(tree.node_count)
        leaf = tree.children_left < 0
        feature[t, :size] = np.where(leaf, 0, tree.feature)
        threshold[t, :size] = np.where(leaf, 0.0, tree.threshold)
        left[t, :size] = np.where(leaf, own, tree.children_left)
        right[t, :size] = np.where(leaf, own, tree.children_right)
        value[t, :size] = parameters["rate"] * tree.value[:, 0, 0]
    baseline = np.zeros(model.estimators_.shape[1])
    return Trees(feature, threshold, left, right, value, baseline, int(parameters["depth"]))


def _cut(features: NDArray[np.float64], first: int) -> NDArray[np.float64]:
    return np.clip(features[:, :first], -LARGEST_DEVIATION, LARGEST_DEVIATION)


FITS: dict[str, Callable[[NDArray[np.float64], NDArray[np.str_], Parameters], Member]] = {
    "linear": fit_linear,
    "smooth": fit_smooth,
    "trees": fit_trees,
}
"""Name of a member -> how it is fitted."""
