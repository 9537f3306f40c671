"""Every check passes the reference, and catches each of the mistakes it names with the right hint."""

import builtins
import functools
import inspect
import keyword
import re
from types import CodeType, SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest

import nst_keras
from nst_keras import exercises
from nst_keras._tensorflow import tf
from nst_keras.exercises.check import Exercise

CHECKS = {name: getattr(exercises, name) for name in exercises.__all__}
MISTAKES = [
    (name, hint, function)
    for name, check in CHECKS.items()
    for hint, *functions in check.mistakes
    for function in functions
]


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


CODE = re.compile(
    r"\w\(|\w\[|\[[.:-]|::|\*\*|//|@|==|[-+*/]=|\w\.T\b|\d\.?e-?\d|lambda|return "  # calls, indices, operators
    r"|\w\s+[-+*/]\s+[^\W\d]|[^\W\d]\s+[-+*/]\s+\w|[^\W\d]\w*[*/+][^\W\d]|\)\s*[-+*/]"  # arithmetic with names
)
NAMED = re.compile(r"\b(?:np|tf|numpy|tensorflow)\.([\w.]+\w)|`(?:np\.|tf\.)?([^`]+)`")
ENGLISH = {"mean", "positions", "square", "where"}  # and builtins like "sum": in a hint, words rather than code


def operations(function, seen=()):
    """Every name a function uses, and the functions of the package that it calls."""
    function = inspect.unwrap(getattr(function, "python_function", function))
    code = getattr(function, "__code__", None)
    names, codes = {getattr(function, "__name__", "")}, [code] if code else []
    while codes:
        code = codes.pop()
        names.update(code.co_names)
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    known = getattr(function, "__globals__", {})
    for inner in [*cells, *(known[name] for name in names if name in known)]:
        if getattr(inner, "__module__", "") and inner.__module__.startswith("nst_keras") and inner not in seen:
            names |= operations(inner, (*seen, function, inner))
    return names


def shown(hint, reference, mistake):
    """What a hint shows of the solution: code, or an operation that the learner has not used already."""
    used = operations(mistake)
    named = {name for names in NAMED.findall(hint) for name in names if name and not keyword.iskeyword(name)}
    needed = {name for name in operations(reference) if not hasattr(builtins, name)} - ENGLISH
    return CODE.findall(hint) + sorted(named - used) + sorted(needed & set(re.findall(r"\w+", hint)) - used)


@pytest.mark.parametrize(("name", "hint", "function"), MISTAKES)
def test_a_hint_never_shows_the_solution(name, hint, function):
    assert shown(hint, CHECKS[name].reference, function) == []


@pytest.mark.parametrize(
    ("name", "solution"),
    [
        ("check_preprocess", "image[..., ::-1] * 255 - means"),
        ("check_preprocess", "flip with [..., ::-1]"),
        ("check_relu", "np.maximum(before, 0)"),
        ("check_relu", "take maximum"),
        ("check_feature_shape", "height // 2**poolings"),
        ("check_receptive_field", "spacing *= stride comes last"),
        ("check_receptive_field", "add (kernel - 1) * spacing"),
        ("check_gram_matrix", "f.T @ f"),
        ("check_gram_matrix", "f.T@f"),
        ("check_gram_matrix", "tf.matmul with the first one transposed"),
        ("check_gram_matrix", "matmul"),
        ("check_gram_matrix", "`einsum`"),
        ("check_gram_matrix", "np.tensordot"),
        ("check_mean_gram_matrix", "divide by shape[1] * shape[2]"),
        ("check_cosine_gram", "gram / both, where both is not 0"),
        ("check_cosine_gram", "use outer"),
        ("check_content_loss", "tf.reduce_sum(tf.square(generated - content)) / 2"),
        ("check_content_loss", "reduce_sum, then the half"),
        ("check_content_gradient", "before - content where before is positive"),
        ("check_gradient_step", "image-rate*gradient, then clip"),
        ("check_layer_style_loss", "sum((G - A)**2) / 4"),
        ("check_layer_shares", "products / products.sum()"),
        ("check_balanced_weights", "inverse / inverse.sum()"),
        ("check_balanced_weights", "w = 1 / losses"),
        ("check_total_loss", "α * content + β * style"),
        ("check_total_variation", "image[:, 1:] - image[:, :-1]"),
        ("check_balanced_content_loss", "content_loss over M"),
        ("check_normalised_step", "np.abs(gradient).mean()"),
        ("check_first_adam_step", "ε is 1e-7"),
        ("check_stage_sizes", "`round`"),
        ("check_stage_sizes", "round(side)"),
    ],
)
def test_a_hint_that_shows_the_solution_would_be_found(name, solution):
    assert shown(f"this is wrong. Try {solution}.", CHECKS[name].reference, lambda *arguments: None)


@pytest.mark.parametrize(("name", "hint", "function"), MISTAKES)
def test_a_verdict_shows_no_more_of_the_result_than_one_value(name, hint, function):
    told = repr(CHECKS[name](as_learner(function))).removesuffix(f" Hint: {hint}")
    number = r"(-?[\d.]+(e[-+]\d+)?|nan)"
    shape = r"\([\d, ]*\)"
    assert re.search(
        rf": (expected {number}( at position \d+| at {shape})?, but got {number}\."
        rf"|expected (one number|numbers of the shape {shape}), but your result has the shape {shape}\."
        r"|your function stopped with \w+Error: .*)$",
        told,
    )


@pytest.mark.parametrize("name", CHECKS)
def test_a_comparison_shows_one_value_and_never_all(name):
    check = CHECKS[name]
    arguments = next(iter(check.cases.values()))
    expected = np.asarray(check.reference(*arguments))
    verdict = repr(check(lambda *arguments: np.full(expected.shape, -12345.0)))
    assert re.search(r": expected [-+.e\d]+( at position \d+| at \([\d, ]+\))?, but got -12345\.( Hint: .*)?$", verdict)


REFUSAL = "this is the package's own function. Write your own, and pass that."


@pytest.mark.parametrize("name", CHECKS)
def test_the_packages_own_function_is_no_answer(name):
    check = CHECKS[name]

    @functools.wraps(check.reference)
    def wrapped(*arguments):
        return check.reference(*arguments)

    own = [check.reference, functools.partial(check.reference), wrapped, functools.lru_cache(check.reference)]
    for answer in (*own, tf.function(check.reference), functools.partial(tf.function(wrapped)), check):
        assert repr(check(answer)) == f"✗ {check.name}: {REFUSAL}"


@pytest.mark.parametrize("wrapper", ["func", "__wrapped__", "python_function"])
def test_every_way_of_wrapping_is_looked_into_on_its_own(wrapper):
    class Wrapper(SimpleNamespace):
        def __call__(self, *arguments):
            return getattr(self, wrapper)(*arguments)

    check = exercises.check_gram_matrix
    assert check(Wrapper(**{wrapper: as_learner(check.reference)}))
    assert REFUSAL in repr(check(Wrapper(**{wrapper: check.reference})))
    assert REFUSAL in repr(check(Wrapper(**{wrapper: Wrapper(**{wrapper: check.reference})})))


def test_a_learners_own_function_may_be_wrapped():
    check = exercises.check_gram_matrix
    mine = as_learner(check.reference)

    @functools.wraps(mine)
    def wrapped(features):
        return mine(features)

    for answer in (wrapped, functools.partial(mine), tf.function(mine), functools.partial(tf.function(wrapped))):
        assert check(answer)


def test_a_function_that_wraps_itself_does_not_hang_the_check():
    def mine(before):
        return np.maximum(before, 0)

    mine.__wrapped__ = mine
    assert exercises.check_relu(mine)
    assert not exercises.check_relu(MagicMock())  # it has every attribute, and each of those has every attribute


def test_any_function_of_the_package_is_its_own():
    assert REFUSAL in repr(exercises.check_mean_gram_matrix(nst_keras.gram_matrix))
    assert REFUSAL in repr(exercises.check_gram_matrix(nst_keras.FeatureExtractor))
    for hint, *functions in exercises.check_mean_gram_matrix.mistakes:
        for function in functions:
            assert REFUSAL in repr(exercises.check_mean_gram_matrix(function)), hint


@pytest.mark.parametrize("module", ["__main__", "nst_keras_of_mine", "my.nst_keras", None])
def test_a_learners_own_module_may_have_any_other_name(module):
    mine = as_learner(exercises.check_relu.reference)
    mine.__module__ = module
    assert exercises.check_relu(mine)


@pytest.mark.parametrize("name", CHECKS)
def test_the_result_of_one_case_is_no_answer(name):
    check = CHECKS[name]
    for arguments in check.cases.values():
        remembered = check.reference(*arguments)
        assert not check(lambda *_, remembered=remembered: remembered)


def test_an_answer_cannot_hide_what_is_wrong_in_it():
    """A masked array compares as equal where it is masked; a number may claim to equal any other."""

    class Always(float):
        def __eq__(self, other):
            return True

        __hash__ = float.__hash__

    class Agrees(np.ndarray):
        def __array_function__(self, *arguments, **named):
            return True

    check = exercises.check_gram_matrix

    def masked(features):
        right = np.ma.array(np.copy(check.reference(features)))
        right[0, 0] = -1
        right[0, 0] = np.ma.masked
        return right

    assert "but got -1." in repr(check(masked))
    assert "but got 0." in repr(check(lambda features: np.zeros_like(check.reference(features)).view(Agrees)))
    assert not exercises.check_content_loss(lambda *arguments: Always(3))
    assert "but got nan." in repr(exercises.check_content_loss(lambda *arguments: np.float32(np.nan)))


def test_an_answer_cannot_change_what_it_is_compared_with():
    """The arguments are copies: an answer that spoils them does not spoil the expected result."""
    check = Exercise("double", lambda x: 2 * x, {"a": (np.ones(3, np.float32),), "b": (np.ones(2, np.float32),)}, ())
    kept = []

    def spoils(x):
        x *= 0
        return 2 * x

    def spoils_later(x):
        for old in kept:
            old *= 0
        kept.append(x)
        return 2 * x

    assert "changed its input" in repr(check(spoils))
    assert check(as_learner(check.reference))
    assert check(spoils_later)
    assert check(as_learner(check.reference))


@pytest.mark.parametrize("name", CHECKS)
def test_the_cases_cannot_be_changed_by_trying_something_on_them(name):
    for arguments in CHECKS[name].cases.values():
        for value in arguments:
            if isinstance(value, np.ndarray):
                with pytest.raises(ValueError, match="read-only"):
                    value += 1
