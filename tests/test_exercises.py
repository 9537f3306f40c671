"""Every check passes the package's own function, and catches each of the mistakes it names with the right hint."""

import numpy as np
import pytest

from nst_keras import exercises

CHECKS = {name: value for name, value in vars(exercises).items() if name.startswith("check_")}
MISTAKES = [(name, mistake) for name, check in CHECKS.items() for mistake in check.mistakes]


@pytest.mark.parametrize("name", CHECKS)
def test_the_reference_passes(name):
    check = CHECKS[name]
    verdict = check(check.reference)
    assert verdict
    assert repr(verdict) == f"✓ {check.name}: all {len(check.cases)} cases agree."


@pytest.mark.parametrize(("name", "mistake"), MISTAKES)
def test_a_usual_mistake_is_caught_with_its_hint(name, mistake):
    verdict = CHECKS[name](mistake.function)
    assert not verdict
    assert repr(verdict).startswith(f"✗ {CHECKS[name].name}, ")
    assert mistake.hint in repr(verdict)


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_knows_more_than_one_mistake(name):
    assert len(CHECKS[name].mistakes) >= 2


@pytest.mark.parametrize("name", CHECKS)
def test_mistakes_that_need_no_numbers_are_caught_by_every_check(name):
    check = CHECKS[name]

    def in_place(*arguments):
        result = np.copy(check.reference(*arguments))
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                argument += 1
        return result

    def stops(*arguments):
        raise RuntimeError("too hard")

    assert "returned None" in repr(check(lambda *arguments: None))
    assert "stopped with RuntimeError: too hard" in repr(check(stops))
    assert "numbers" in repr(check(lambda *arguments: "a string"))
    assert "returned a list" in repr(check(lambda *arguments: [np.zeros(2), np.zeros(3)]))
    if any(isinstance(argument, np.ndarray) for arguments in check.cases.values() for argument in arguments):
        assert "changed its input" in repr(check(in_place))
    if np.asarray(check.reference(*next(iter(check.cases.values())))).dtype.kind == "f":
        assert "dtype float16" in repr(check(lambda *arguments: np.float16(check.reference(*arguments))))


@pytest.mark.parametrize("name", CHECKS)
def test_a_hint_never_shows_the_solution(name):
    check = CHECKS[name]
    verdict = repr(check(lambda *arguments: np.float32(-12345)))
    assert "expected" in verdict
    assert "-12345" in verdict or "shape ()" in verdict or "has ()" in verdict
