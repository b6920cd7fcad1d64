"""Small truths and guesses, by hand or drawn from a seed."""

import numpy as np

from marrow_models.datasets.records import AttributeSchema
from marrow_models.evaluation.boxes import BoxGuess, BoxTruth

NONE = np.zeros((0, 4))
LABELS = ("lymphocyte", "monocyte", "neutrophil")
SCHEMA = AttributeSchema(
    "small",
    {"size": ("small", "big"), "nucleus": ("round", "band", "segmented"), "vacuoles": ("absent", "prominent")},
    "made up",
)


def squares(*corners, side=10.0):
    """Boxes (N, 4) of one size by their left and top."""
    return np.asarray([[x, y, x + side, y + side] for x, y in corners], float).reshape(-1, 4)


def truth(boxes, kinds=None, ignored=NONE):
    return BoxTruth(boxes, np.zeros(len(boxes), int) if kinds is None else np.asarray(kinds, int), ignored)


def guess(boxes, scores, kinds=None):
    of_kind = np.zeros(len(boxes), int) if kinds is None else np.asarray(kinds, int)
    return BoxGuess(boxes, of_kind, np.asarray(scores, float))


NOTHING = guess(NONE, [])


def random_boxes(seed, pictures=12, kinds=3, ignored=False):
    """Pictures with some boxes found roughly, some missed and some made up; no two scores are equal."""
    rng = np.random.default_rng(seed)
    truths, guesses = [], []
    for _ in range(pictures):
        number = int(rng.integers(0, 7))
        corners = rng.uniform(0, 90, (number, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(6, 20, (number, 2))], axis=1)
        of_kind = rng.integers(0, kinds, number)
        found = rng.random(number) < 0.8
        given = boxes[found] + rng.normal(0, 1.2, (found.sum(), 4))
        false = rng.uniform(0, 90, (int(rng.integers(0, 4)), 2))
        given = np.concatenate([given, np.concatenate([false, false + 9], axis=1)])
        given_kinds = np.concatenate([of_kind[found], rng.integers(0, kinds, len(false))])
        off = np.asarray([[40.0, 40.0, 70.0, 70.0]]) if ignored else NONE
        truths.append(truth(boxes, of_kind, off))
        guesses.append(guess(given, rng.random(len(given)), given_kinds))
    return truths, guesses


def random_classes(seed, cells=200, classes=3, skill=1.5):
    """Truth (N,) and probabilities (N, K) of a classifier of some skill."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, cells)
    scores = rng.normal(0, 1, (cells, classes))
    scores[np.arange(cells), true] += skill
    raised = np.exp(scores)
    return true, raised / raised.sum(axis=1, keepdims=True)


def certain(given, classes, confidence=0.9):
    """Probabilities (N, K) that give each cell a class with one confidence."""
    rest = (1 - confidence) / (classes - 1)
    probabilities = np.full((len(given), classes), rest)
    probabilities[np.arange(len(given)), given] = confidence
    return probabilities


def random_attributes(seed, cells=150, missing=0.1, skill=1.5):
    """Truth (N, A) with -1 where missing, and probabilities of each attribute of SCHEMA."""
    rng = np.random.default_rng(seed)
    columns, probabilities = [], []
    for place, values in enumerate(SCHEMA.values.values()):
        true, scores = random_classes(seed * 100 + place, cells, len(values), skill)
        columns.append(np.where(rng.random(cells) < missing, -1, true))
        probabilities.append(scores)
    return np.stack(columns, axis=1), probabilities
