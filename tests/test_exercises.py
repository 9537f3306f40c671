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
    assert "parts of your list differ in shape" in repr(check(lambda *arguments: [np.zeros(2), np.zeros(3)]))
    if any(isinstance(argument, np.ndarray) for arguments in check.cases.values() for argument in arguments):
        assert "changed its input" in repr(check(in_place))
    if np.asarray(check.reference(*next(iter(check.cases.values())))).dtype.kind == "f":
        assert "dtype float16" in repr(check(lambda *arguments: np.float16(check.reference(*arguments))))


@pytest.mark.parametrize("name", CHECKS)
def test_the_function_itself_is_to_be_handed_over(name):
    check = CHECKS[name]
    for result in (None, 3.0, np.zeros((1, 2, 2, 3), np.float32)):
        verdict = check(result)
        assert not verdict
        assert f"without brackets: {name}(my_{check.name})." in repr(verdict)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ("text", "returned a str."),
        (..., "returned an ellipsis."),
        ((value for value in (28, 28, 512)), "returned a generator."),
        ({"rows": 28}, "returned a dict."),
        (1j, "returned a complex."),
        (np.array([28j, 28, 512]), "returned an array of complex128."),
        ((28, 28, None), "returned a tuple with something else in it."),
        (((28, 28), 512), "expected numbers of the shape (3,), but the parts of your tuple differ in shape."),
        ((28, 28), "expected numbers of the shape (3,), but your result has the shape (2,)."),
        ((28, 28, 511), "expected 512 at position 2, but got 511."),
    ],
)
def test_what_was_returned_is_named_in_its_own_words(result, words):
    assert repr(exercises.check_feature_shape(lambda *arguments: result)).endswith(words)


def test_a_result_that_should_be_one_number_is_told_so():
    verdict = exercises.check_content_loss(lambda generated, content: generated[0, 0])
    assert repr(verdict).endswith("expected one number, but your result has the shape (3, 2).")


def test_mistakes_that_stop_get_a_hint_too():
    verdict = exercises.check_relu(lambda before: max(0, before))
    assert "stopped with ValueError" in repr(verdict)
    assert "Hint: " in repr(verdict)


@pytest.mark.parametrize("name", CHECKS)
def test_a_hint_never_shows_the_solution(name):
    check = CHECKS[name]
    verdict = repr(check(lambda *arguments: np.float32(-12345)))
    assert "expected" in verdict
    assert "-12345" in verdict or "has the shape ()" in verdict
