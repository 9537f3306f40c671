"""Every check passes the reference, and catches each of the mistakes it names with the right hint."""

import ast
import functools
import inspect
import re
import textwrap

import numpy as np
import pytest

import nst_keras
from nst_keras import exercises
from nst_keras._tensorflow import tf
from nst_keras.exercises.check import Exercise

CHECKS = {name: getattr(exercises, name) for name in exercises.__all__}
MISTAKES = [(name, *mistake) for name, check in CHECKS.items() for mistake in check.mistakes]


def as_learner(function):
    """The same function as if a learner had written it."""
    return lambda *arguments: function(*arguments)


@pytest.mark.parametrize("name", CHECKS)
def test_the_reference_passes(name):
    check = CHECKS[name]
    verdict = check(as_learner(check.reference))
    assert verdict
    assert repr(verdict) == f"✓ {check.name}: all {len(check.cases)} cases agree."


@pytest.mark.parametrize(("name", "hint", "function"), MISTAKES)
def test_a_usual_mistake_is_caught_with_its_hint(name, hint, function):
    verdict = CHECKS[name](as_learner(function))
    assert not verdict
    assert repr(verdict).startswith(f"✗ {CHECKS[name].name}, ")
    assert hint in repr(verdict)


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
def test_the_function_itself_is_to_be_passed(name):
    check = CHECKS[name]
    for result in (None, 3.0, np.zeros((1, 2, 2, 3), np.float32)):
        verdict = check(result)
        assert not verdict
        assert f"pass the function itself, without parentheses: {name}(my_{check.name})." in repr(verdict)


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


def solutions(check):
    """What the reference returns, as code without white space: the body of its `return`, or of its lambda."""
    source = textwrap.dedent(inspect.getsource(check.reference))
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a lambda in the middle of an expression
        tree = ast.parse(source[source.index("lambda") :].rstrip().rstrip(","))
    for node in ast.walk(tree):
        if isinstance(node, ast.Return | ast.Lambda):
            body = node.value if isinstance(node, ast.Return) else node.body
            yield ast.unparse(body).replace(" ", "").replace("np.", "").replace("tf.", "")


@pytest.mark.parametrize("name", CHECKS)
def test_a_hint_never_shows_the_solution(name):
    check = CHECKS[name]
    shown = list(solutions(check))
    assert shown
    for hint, _ in check.mistakes:
        for code in shown:
            assert len(code) < 3 or code not in hint.replace(" ", "").replace("np.", "")
        assert not re.search(r"\w\s*(@|\*\*|//|\.T\b)\s*\w", hint)  # no operators that only code has


@pytest.mark.parametrize("name", CHECKS)
def test_a_comparison_shows_one_value_and_never_all(name):
    check = CHECKS[name]
    arguments = next(iter(check.cases.values()))
    expected = np.asarray(check.reference(*arguments))
    verdict = repr(check(lambda *arguments: np.full(expected.shape, -12345.0)))
    assert re.search(r": expected [-+.e\d]+( at position \d+| at \([\d, ]+\))?, but got -12345\.( Hint: .*)?$", verdict)


@pytest.mark.parametrize("name", CHECKS)
def test_the_packages_own_function_is_no_answer(name):
    check = CHECKS[name]

    @functools.wraps(check.reference)
    def wrapped(*arguments):
        return check.reference(*arguments)

    own = [check.reference, functools.partial(check.reference), wrapped, functools.lru_cache(check.reference)]
    for answer in (*own, tf.function(check.reference), functools.partial(functools.partial(check.reference))):
        assert (
            repr(check(answer)) == f"✗ {check.name}: this is the package's own function. Write your own, and pass that."
        )


def test_any_function_of_the_package_is_its_own():
    assert "package's own" in repr(exercises.check_mean_gram_matrix(nst_keras.gram_matrix))
    assert "package's own" in repr(exercises.check_gram_matrix(nst_keras.FeatureExtractor))


def test_an_answer_cannot_hide_what_is_wrong_in_it():
    """A masked array compares as equal where it is masked; a number may claim to equal any other."""

    class Always(float):
        def __eq__(self, other):
            return True

        __hash__ = float.__hash__

    def masked(*arguments):
        return np.ma.masked_all((2, 2), np.float32)

    assert not exercises.check_gram_matrix(masked)
    assert not exercises.check_content_loss(lambda *arguments: Always(3))
    assert not exercises.check_content_loss(lambda *arguments: np.float32(np.nan))


def test_an_answer_cannot_change_what_it_is_compared_with():
    """The arguments are copies: an answer that spoils them does not spoil the expected result."""
    check = Exercise("double", lambda x: 2 * x, {"a": (np.ones(3, np.float32),), "b": (np.ones(2, np.float32),)}, ())

    def spoils(x):
        x *= 0
        return 2 * x

    assert "changed its input" in repr(check(spoils))
    assert check(as_learner(check.reference))
