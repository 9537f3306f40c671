"""Checks for the exercises in the notebooks: they try a learner's function, and answer in words that help.

An exercise is a reference (the package's own function), cases to try, and the mistakes people usually make, each with
a hint. A wrong answer that equals one of those mistakes gets its hint; no check ever shows the solution.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nst_keras import losses


@dataclass(frozen=True)
class Mistake:
    """A usual mistake: the function that makes it, and the hint for who made it."""

    hint: str
    function: Callable


@dataclass(frozen=True)
class Exercise:
    """One exercise. Calling it with the learner's function gives a `Verdict`."""

    name: str
    reference: Callable
    cases: dict[str, tuple]  # description → arguments; arrays are NumPy arrays of float32
    mistakes: tuple[Mistake, ...]

    def __call__(self, answer):
        for case, arguments in self.cases.items():
            problem = self._problem(answer, arguments)
            if problem:
                return Verdict(False, f"✗ {self.name}, {case}: {problem}")
        return Verdict(True, f"✓ {self.name}: all {len(self.cases)} cases agree.")

    def _problem(self, answer, arguments):
        expected = np.asarray(self.reference(*_copies(arguments)))
        given = _copies(arguments)
        try:
            result = answer(*given)
        except Exception as error:  # whatever the learner's code does
            return f"your function stopped with {type(error).__name__}: {error}"
        if result is None:
            return "your function returned None. Fill it in, and return the result."
        if not all(map(_equal, given, arguments)):
            return "your function changed its input. Work on a new array: the caller still needs the old one."
        try:
            result = np.asarray(result)
        except Exception:  # a list of tensors of different shapes, for instance
            return f"expected an array of shape {expected.shape}, but your function returned a {type(result).__name__}."
        if result.dtype.kind not in "fiub":
            return f"expected numbers, but your function returned a {type(result).__name__}."
        if expected.dtype.kind == "f" and result.dtype not in (np.float32, np.float64):
            return f"expected float32, but your result has the dtype {result.dtype}. Keep the dtype of the input."
        if result.shape == expected.shape and np.allclose(result, expected, rtol=1e-4, atol=1e-6):
            return None
        return f"{_comparison(result, expected)} {self._hint(result, arguments)}".strip()

    def _hint(self, result, arguments):
        for mistake in self.mistakes:
            wrong = np.asarray(mistake.function(*_copies(arguments)))
            if wrong.shape == result.shape and np.allclose(result, wrong, rtol=1e-4, atol=1e-6):
                return f"Hint: {mistake.hint}"
        return ""


@dataclass(frozen=True)
class Verdict:
    """What a check answers: true if the answer is right; the notebook shows its message."""

    passed: bool
    message: str

    def __bool__(self):
        return self.passed

    def __repr__(self):
        return self.message


def _copies(arguments):
    return [np.copy(value) if isinstance(value, np.ndarray) else value for value in arguments]


def _equal(one, other):
    return np.array_equal(one, other) if isinstance(other, np.ndarray) else one == other


def _comparison(result, expected):
    if result.shape != expected.shape:
        return f"expected the shape {expected.shape}, but your result has {result.shape}."
    where = np.unravel_index(np.argmax(np.abs(result - expected)), expected.shape)
    place = f" at {tuple(map(int, where))}" if where else ""
    return f"expected {expected[where]:.6g}{place}, but got {result[where]:.6g}."


def _features(height, width, channels, seed):
    """Small whole numbers, so that a learner can follow the sums by hand."""
    return np.random.default_rng(seed).integers(0, 5, (1, height, width, channels)).astype(np.float32)


def _by_position(features):
    return features.reshape(-1, features.shape[-1])


# 01: features


# 02: Gram matrix

check_gram_matrix = Exercise(
    "gram_matrix",
    losses.gram_matrix,
    {
        "two positions, two channels": (np.array([[[[1, 2], [3, 0]]]], np.float32),),
        "four positions, three channels": (_features(2, 2, 3, seed=1),),
        "a wide map": (_features(2, 5, 3, seed=2),),
    },
    (
        Mistake(
            "this matrix has a row for every position. The Gram matrix compares channels: the other factor is the "
            "one to transpose.",
            lambda features: _by_position(features) @ _by_position(features).T,
        ),
        Mistake(
            "you divided by the number of positions. The article's Gram matrix is a plain sum.",
            lambda features: _by_position(features).T @ _by_position(features) / _by_position(features).shape[0],
        ),
    ),
)


# 03: content loss


# 04: style loss


# 05: total loss


# 06: training loop
