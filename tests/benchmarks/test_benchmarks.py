"""Every row of the benchmark on tiny pictures, and each recipe held to its objective, so that it cannot rot."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import bench
import recipes

from nst_keras import FeatureExtractor, load_image
from nst_keras.images import resize_image

KERAS, TENSORFLOW, PYTORCH = recipes.RECIPES


@pytest.mark.parametrize(
    "recipe", [KERAS, TENSORFLOW, pytest.param(PYTORCH, marks=pytest.mark.torch)], ids=lambda recipe: recipe.name
)
def test_a_recipe_starts_from_the_content_and_makes_its_objective_smaller(recipe):
    content, style = (resize_image(load_image(name), (150, 200)) for name in ("cat", "poppies"))
    extractor = FeatureExtractor((*recipes.STYLE_LAYERS, recipe.content_layer))
    clock = bench.run_recipe(recipe, extractor, content, style, bench.Clock(steps=3))
    losses = [loss for _, loss in clock.curve]
    assert losses[0] == pytest.approx(float(recipe.objective(extractor, content, style)(content)), rel=1e-4)
    assert losses[-1] < losses[0]


def test_the_package_runs_adam_on_an_objective_for_as_many_steps_as_planned():
    recipe = TENSORFLOW
    content, style = (resize_image(load_image(name), (48, 64)) for name in ("cat", "poppies"))
    extractor = FeatureExtractor((*recipes.STYLE_LAYERS, recipe.content_layer))
    clock = bench.run_package(recipe, extractor, content, style, "adam", 8, bench.Clock())
    assert len(clock.curve) == 9
    assert clock.best < 0.9 * clock.curve[0][1]


def measured_rows(tmp_path, capsys):
    """The rows of a run in small; the pictures and the file must be there too."""
    bench.measure(tmp_path, pixels=64, seconds=0.2, rounds=1, step_sizes=(48,), memories=(48,), size=48, steps=2)
    table = (tmp_path / "speed.md").read_text(encoding="utf-8")
    assert table == capsys.readouterr().out
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    for name in ("speed", "keras_example", "tensorflow_tutorial", "from_noise_coarse_to_fine", "from_noise_one_size"):
        assert load_image(tmp_path / f"{name}.png").shape[0] == 1
    headings_and_other_rows = 6 + 1 + 2 + 1 + 3 + 2
    return rows[1 : len(rows) + 1 - headings_and_other_rows]


def test_without_pytorch_its_row_says_so_and_the_others_are_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    rows = measured_rows(tmp_path, capsys)
    names = [KERAS.name, KERAS.name, TENSORFLOW.name, TENSORFLOW.name, PYTORCH.name]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == names
    assert "left out: torch is not installed" in rows[-1]


@pytest.mark.torch
def test_with_pytorch_every_recipe_is_measured_in_both_precisions(tmp_path, capsys):
    rows = measured_rows(tmp_path, capsys)
    assert [row.split(" | ")[0].strip("| ") for row in rows] == [r.name for r in recipes.RECIPES for _ in range(2)]
    assert not any("left out" in row for row in rows)


def test_the_noise_level_is_the_deviation_of_white_noise_and_blind_to_edges():
    edge = np.zeros((1, 64, 64, 3))
    edge[:, :, 32:] = 0.5
    assert bench.noise_level(edge) == pytest.approx(0, abs=1e-12)
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 64, 64, 1)).repeat(3, axis=-1)
    assert bench.noise_level(noise) == pytest.approx(0.1, rel=0.05)


def test_confetti_by_hand():
    """Two steps from left to right: a grey one, which counts nothing, and one that makes blue 51 levels brighter."""
    image = np.full((1, 2, 3, 3), 0.2)
    image[:, :, 1:] = 0.4
    image[:, :, 2, 2] += 0.2
    assert bench.confetti(image) == pytest.approx(51 / 4)  # one of two steps, one of two differences


def test_a_loss_in_16_bits_ends_a_run_only_if_it_holds_in_32_and_the_question_takes_no_time(monkeypatch):
    seconds, exact = iter(range(10)), iter([2.0, 1.0])
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(seconds))
    clock = bench.Clock(target=1.5, exact=lambda image: next(exact))
    clock(1.0, None)
    with pytest.raises(bench.Enough):
        clock(1.2, None)
    assert clock.curve == [(0, 1.0), (1, 1.2)]
