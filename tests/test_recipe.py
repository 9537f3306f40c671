from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from nst_keras import Recipe, transfer_style
from nst_keras.pictures import fitted_shape
from nst_keras.ranges import Weight, WholeNumber
from nst_keras.recipe import check_sides, plan_stages, recipe_from, remaining_stages, smallest_size


def test_a_recipe_holds_the_defaults_and_equals_its_like():
    assert Recipe() == Recipe(size=400, steps=200, style_weight=0.15)
    assert Recipe() != Recipe(seed=1)
    assert replace(Recipe(), size=96).size == 96


def test_layers_are_kept_with_their_weights():
    assert Recipe(content_layers="block1_conv1").content_layers == {"block1_conv1": 1.0}
    assert Recipe(style_layers=["a", "b"]).style_layers == {"a": 0.5, "b": 0.5}
    assert Recipe(style_layers={"a": 2, "b": 0}).style_layers == {"a": 2, "b": 0}


@pytest.mark.parametrize("knob", ["size", "steps", "seed", "content_weight", "style_weight", "total_variation_weight"])
@pytest.mark.parametrize("value", [True, False, np.True_, "3", (), float("nan"), [1]])
def test_what_is_no_number_is_refused_also_true_and_false(knob, value):
    with pytest.raises(ValueError, match=f"^{knob} must be .*\\.$"):
        Recipe(**{knob: value})


def test_only_the_size_can_be_left_to_the_photo():
    assert Recipe(size=None).size is None
    for knob in ("steps", "seed", "content_weight", "style_weight", "total_variation_weight"):
        with pytest.raises(ValueError, match=f"^{knob} must be .*, not None\\.$"):
            Recipe(**{knob: None})


@pytest.mark.parametrize("knob", ["size", "tile"])
@pytest.mark.parametrize("value", [np.array([64, 96]), np.array("auto"), "orig", True])
def test_what_is_neither_a_number_nor_the_word_is_refused(knob, value):
    with pytest.raises(ValueError, match=f"^{knob} must be a whole number from .*, or (None|'auto'), not "):
        Recipe(**{knob: value})


@pytest.mark.parametrize("value", ["no", 1, 0, None])
def test_coarse_to_fine_is_true_or_false(value):
    with pytest.raises(ValueError, match="coarse_to_fine must be True or False, not"):
        Recipe(coarse_to_fine=value)


def test_the_numbers_of_numpy_are_numbers():
    recipe = Recipe(size=np.int64(96), steps=np.int32(3), style_weight=np.float32(0.5))
    assert (recipe.size, recipe.steps, recipe.style_weight) == (96, 3, 0.5)


@given(st.one_of(st.integers(), st.floats(), st.booleans(), st.text()))
def test_ranges_hold_what_they_say(value):
    whole = type(value) is int
    number = whole or type(value) is float
    assert (value in WholeNumber(-3, 7)) == (whole and -3 <= value <= 7)
    assert (value in Weight(0.5, 9.0)) == (number and (value == 0 or 0.5 <= value <= 9))


def test_a_wrong_keyword_is_answered_with_the_names_that_exist():
    with pytest.raises(TypeError, match=r"no keyword 'style_wieght'\. Did you mean style_weight\? The knobs are "):
        transfer_style("cat", "poppies", style_wieght=0.5)
    with pytest.raises(TypeError, match=r"no keyword 'q'\. The knobs are .*seed, tile\."):
        recipe_from(None, {"q": 1})


def test_a_recipe_is_given_and_single_knobs_are_turned():
    recipe = recipe_from(Recipe(size=96, seed=3), {"seed": 4})
    assert recipe == Recipe(size=96, seed=4)
    with pytest.raises(TypeError, match="recipe must be a Recipe, not dict"):
        recipe_from({"size": 96}, {})
    with pytest.raises(ValueError, match="steps must be"):
        recipe_from(Recipe(), {"steps": 0})


def test_every_knob_is_explained():
    assert all(len(knob.metadata["help"]) > 5 for knob in fields(Recipe))
    assert all(f"        {knob.name}: " in Recipe.__doc__ for knob in fields(Recipe))


@given(st.integers(0, 500), st.integers(60, 600), st.integers(1, 500))
def test_remaining_stages_are_the_last_of_the_plan(done, side, steps):
    plan = plan_stages(side, 2 * side, steps)
    done = min(done, steps)
    left = remaining_stages(plan, done)
    assert 1 <= len(left) <= len(plan)
    assert [stage[:2] for stage in left] == [stage[:2] for stage in plan[-len(left) :]]
    assert left[1:] == plan[len(plan) - len(left) + 1 :]  # later stages are whole
    again = sum(steps for *_, steps in left) - (steps - done)
    assert 0 <= again <= 15


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 32))
def test_the_smallest_size_leaves_the_side_that_is_needed(height, width, side):
    size = smallest_size((height, width), side)
    if size <= 65535:
        assert min(fitted_shape(height, width, size)) >= side


def test_a_size_that_there_is_not_is_no_advice():
    with pytest.raises(
        ValueError, match=r"every side\. Choose a size from 64000, or cut the picture to another shape\.$"
    ):
        check_sides("a line", (1, 4000), 400, 16)
    with pytest.raises(ValueError, match=r"every side\. Cut the picture to another shape\.$"):
        check_sides("a line", (1, 5000), 400, 16)


@given(st.integers(16, 1000), st.integers(16, 1000), st.integers(1, 500), st.booleans())
def test_stages_use_all_steps_and_end_at_full_size(height, width, steps, coarse_to_fine):
    stages = plan_stages(height, width, steps, coarse_to_fine)
    heights, widths, counts = zip(*stages, strict=True)
    assert (heights[-1], widths[-1]) == (height, width)
    assert sum(counts) == steps
    assert min(counts) >= 1
    assert list(heights) == sorted(heights)
    assert coarse_to_fine or len(stages) == 1
    assert len(stages) == 1 or min(stages[0][:2]) >= 40
