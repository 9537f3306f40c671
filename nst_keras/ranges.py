"""Which values an argument may have: said once, for the check, for its message, and for the command line."""

import difflib
import numbers
import reprlib
from dataclasses import dataclass


@dataclass(frozen=True)
class WholeNumber:
    """The whole numbers from `lowest` to `highest`: `3 in WholeNumber(1, 5)`."""

    lowest: int
    highest: int

    def __contains__(self, value):
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        return whole and self.lowest <= value <= self.highest

    def __str__(self):
        return f"a whole number from {self.lowest} to {self.highest}"


@dataclass(frozen=True)
class WholeNumberOr(WholeNumber):
    """Something else, or the whole numbers from `lowest` to `highest`: `None in WholeNumberOr(1, 5, None)`."""

    otherwise: object

    def __contains__(self, value):
        return super().__contains__(value) or (type(value) is type(self.otherwise) and value == self.otherwise)

    def __str__(self):
        return f"{super().__str__()}, or {self.otherwise!r}"


@dataclass(frozen=True)
class Number:
    """The numbers from `lowest` to `highest`: `0.5 in Number(0.1, 10)`."""

    lowest: float
    highest: float

    def __contains__(self, value):
        number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        return number and self.lowest <= value <= self.highest

    def __str__(self):
        return f"a number from {self.lowest:g} to {self.highest:g}"


class Weight(Number):
    """0, or the numbers from `lowest` to `highest`: `0.2 in Weight(1e-25, 1e30)`."""

    def __contains__(self, value):
        return super().__contains__(value) or value in Number(0, 0)

    def __str__(self):
        return f"0 or {super().__str__()}"


def check(name, value, allowed):
    """Raise a ValueError that names the argument, what it may be, and what it was, unless the value is allowed."""
    if value not in allowed:
        raise ValueError(f"{name} must be {allowed}, not {reprlib.repr(value)}.")


def short(text, length=200):
    """The text, cut where it is too long for a message."""
    return text[:length] + "…" * (len(text) > length)


def named(error):
    """An error of a library by its kind, and what it says if it says anything: "KilledWorker: …"."""
    return f"{type(error).__name__}{': ' * bool(str(error))}{error}"


def guess(name, names):
    """The words " Did you mean size?", if one of the names is close to this one; else nothing."""
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.7)
    return f" Did you mean {close[0]}?" if close else ""
