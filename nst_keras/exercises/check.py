"""The engine of the exercises: it tries a learner's function on small cases, and answers in words that help.

An exercise is a reference (the package's own function), cases to try, and the mistakes people usually make, each with
a hint. A wrong answer that equals one of those mistakes gets its hint; no check ever shows the solution.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Exercise:
    """One exercise. Calling it with the learner's function gives a `Verdict`.

    Args:
        name: of the function, as the notebook calls it without its `my_`.
        reference: the right function.
        cases: {description: arguments}; arrays are NumPy arrays of float32.
        mistakes: (hint, function, …): a usual mistake as the function that makes it (or stops like it); more
            functions where one hint serves several.

    Example:
        >>> mistakes = [("that is the half.", lambda x: x / 2)]
        >>> check_double = Exercise("double", lambda x: 2 * x, {"three": (3.0,), "one": (1.0,)}, mistakes)
        >>> check_double(lambda x: x / 2)
        ✗ double, three: expected 6, but got 1.5. Hint: that is the half.
        >>> check_double(lambda x: x + x)
        ✓ double: all 2 cases agree.
    """

    name: str
    reference: Callable
    cases: dict[str, tuple]
    mistakes: tuple[tuple, ...]

    def __post_init__(self):
        for value in (value for arguments in self.cases.values() for value in arguments):
            if isinstance(value, np.ndarray):
                value.flags.writeable = False  # experiments with a case cannot change the check

    def __call__(self, answer):
        if not callable(answer):
            way = f"check_{self.name}(my_{self.name})"
            return Verdict(False, f"✗ {self.name}: pass the function itself, without parentheses: {way}.")
        if _belongs_to_the_package(answer):
            return Verdict(False, f"✗ {self.name}: this is the package's own function. Write your own, and pass that.")
        for case, arguments in self.cases.items():
            problem = self._problem(answer, arguments)
            if problem:
                return Verdict(False, f"✗ {self.name}, {case}: {problem}")
        return Verdict(True, f"✓ {self.name}: all {len(self.cases)} cases agree.")

    def _problem(self, answer, arguments):
        expected = np.asarray(self.reference(*_copies(arguments)))
        given = _copies(arguments)
        result = _outcome(answer, given)
        if isinstance(result, Exception):
            problem = f"your function stopped with {type(result).__name__}: {result}"
            hint = self._hint(result, arguments)
            return f"{problem.rstrip('.')}. {hint}" if hint else problem
        if result is None:
            return "your function returned None. Fill it in, and return the result."
        if not all(map(_equal, given, arguments)):
            return "your function changed its input. Work on a new array: the caller still needs the old one."
        returned, result = result, _outcome(np.array, [result])  # a masked array would hide what is wrong in it
        if isinstance(result, Exception):  # a list of tensors of different shapes, for instance
            return f"expected {_form(expected.shape)}, but the parts of your {type(returned).__name__} differ in shape."
        if result.dtype.kind not in "fiub":
            return f"expected numbers, but your function returned {_kind(returned)}."
        if expected.dtype.kind == "f" and result.dtype not in (np.float32, np.float64):
            return f"expected float32, but your result has the dtype {result.dtype}. Keep the dtype of the input."
        if result.shape == expected.shape and np.allclose(result, expected, rtol=1e-4, atol=1e-6):
            return None
        return f"{_comparison(result, expected)} {self._hint(result, arguments)}".strip()

    def _hint(self, result, arguments):
        for hint, *functions in self.mistakes:
            if any(_same(result, _outcome(function, _copies(arguments))) for function in functions):
                return f"Hint: {hint}"
        return ""


@dataclass(frozen=True)
class Verdict:
    """What a check answers: true if the answer is right; the notebook shows its message.

    Example:
        >>> verdict = Verdict(False, "✗ double, three: expected 6, but got 1.5.")
        >>> verdict
        ✗ double, three: expected 6, but got 1.5.
        >>> bool(verdict)
        False
    """

    passed: bool
    message: str

    def __bool__(self):
        return self.passed

    def __repr__(self):
        return self.message


def small_features(height, width, channels, seed):
    """Features of small whole numbers, so that a learner can follow the sums by hand.

    Example:
        >>> small_features(2, 3, 4, seed=0).shape
        (1, 2, 3, 4)
    """
    return np.random.default_rng(seed).integers(0, 5, (1, height, width, channels)).astype(np.float32)


def by_position(features):
    """The table of features, a row for every position and a column for every channel.

    Example:
        >>> by_position(small_features(2, 3, 4, seed=0)).shape
        (6, 4)
    """
    return features.reshape(-1, features.shape[-1])


def _belongs_to_the_package(function):
    """Whether a function is the package's own, also in a wrapper of functools or TensorFlow."""
    for _ in range(20):  # not for ever: a wrapper may wrap itself
        if str(getattr(function, "__module__", "")).split(".")[0] == "nst_keras":
            return True
        wrappers = ("func", "__wrapped__", "python_function")  # of partial, of wraps, of tf.function
        function = next((inner for name in wrappers if (inner := getattr(function, name, None)) is not None), None)
    return False


def _copies(arguments):
    return [np.copy(value) if isinstance(value, np.ndarray) else value for value in arguments]


def _equal(one, other):
    return np.array_equal(one, other) if isinstance(other, np.ndarray) else one == other


def _outcome(function, arguments):
    """What a function returns, or what it stops with."""
    try:
        return function(*arguments)
    except Exception as error:  # whatever the learner's code does
        return error


def _same(result, wrong):
    if isinstance(result, Exception) or isinstance(wrong, Exception):
        return repr(result) == repr(wrong)
    wrong = np.asarray(wrong)
    return wrong.shape == result.shape and np.allclose(result, wrong, rtol=1e-4, atol=1e-6, equal_nan=True)


def _kind(value):
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    name = type(value).__name__
    inside = " with something else in it" if isinstance(value, list | tuple) else ""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}{inside}"


def _form(shape):
    return f"numbers of the shape {shape}" if shape else "one number"


def _comparison(result, expected):
    if result.shape != expected.shape:
        return f"expected {_form(expected.shape)}, but your result has the shape {result.shape}."
    where = np.unravel_index(np.argmax(np.abs(result - expected)), expected.shape)
    place = "" if not where else f" at {tuple(map(int, where))}" if len(where) > 1 else f" at position {where[0]}"
    return f"expected {expected[where]:.6g}{place}, but got {result[where]:.6g}."
