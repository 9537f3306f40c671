import os
import re
import signal
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from nst_keras import FeatureExtractor, Recipe, StopTransfer, Style, load_image, noise_image, transfer_style
from nst_keras.__main__ import main
from nst_keras._tensorflow import tf
from nst_keras.descent import gradient_of
from nst_keras.memory import WHOLE, plan_memory
from nst_keras.objective import objective_of
from nst_keras.pictures import fitted_shape
from nst_keras.progress import ProgressBar
from nst_keras.recipe import HISTORY, TILE
from nst_keras.tiles import tiled_gradient, tiles_of

GB = 10**9
SHALLOW = {"content_layers": "block2_conv2", "style_layers": ["block1_conv1", "block2_conv1"]}


@pytest.fixture(scope="module")
def extract(vgg16):
    recipe = Recipe()
    return FeatureExtractor(recipe.content_layers | recipe.style_layers, vgg16)


def free(monkeypatch, gigabytes):
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=gigabytes * GB))


@pytest.mark.parametrize(("size", "regions"), [(96, False), (160, True), (256, True)])
def test_losses_and_gradient_are_those_of_the_whole_picture(size, regions, extract):
    """An odd picture, so that the poolings leave rows out; two styles of other sizes, and total variation."""
    content, image = load_image("summer_palace", 401)[:, :179], noise_image(179, 401, seed=3)
    sky = load_image("summer_palace_sky", 401)[:, :179] if regions else None
    half = np.tile(np.linspace(0, 1, 203)[None, None, :, None], (1, 136, 1, 1)).astype(np.float32) if regions else None
    styles = [
        Style(load_image("great_wave", 203)[:, :136], region=sky, style_region=half),
        Style(load_image("poppies", 260), share=0.5),
    ]
    assert len(tiles_of(179, 401, size, extract)) > 1
    pictures = extract, content, styles, Recipe(total_variation_weight=1e7)
    losses, gradient = gradient_of(objective_of(*pictures))(image)
    found_losses, found = tiled_gradient(*pictures, size)(image)
    assert list(found_losses) == list(losses)
    for name, value in losses.items():
        assert found_losses[name] == pytest.approx(value, rel=1e-6)
    assert np.linalg.norm(found - gradient) < 1e-5 * np.linalg.norm(gradient)
    assert np.abs(found - gradient).max() < 1e-5 * np.abs(gradient).max()  # at a seam too


@pytest.mark.parametrize("layer", ["block1_conv1", "block3_conv1", "block4_conv2", "block5_conv1"])
def test_a_position_looks_as_far_as_the_extractor_says(layer, vgg16):
    extract = FeatureExtractor(layer, vgg16)
    spacing, reach = extract.spacing[layer], extract.reach
    image = noise_image(16, 3 * 16 + 2 * 64, seed=1)  # in a strip that the reach fits in
    with tf.GradientTape() as tape:
        tape.watch(image)
        position = extract(image)[layer][:, :, 80 // spacing]
    columns = np.flatnonzero(np.abs(tape.gradient(position, image)).max(axis=(0, 1, 3)))
    first = 80 // spacing * spacing
    assert columns.min() >= first - reach
    assert columns.max() < first + spacing + reach
    assert columns.min() < first - 0.6 * reach or reach < 3  # its outermost pixels hardly count, and may be 0


@given(st.integers(16, 700), st.integers(16, 700), st.integers(TILE.lowest, 300))
def test_tiles_divide_the_picture_and_see_what_they_need(height, width, size):
    extractor = SimpleNamespace(smallest_side=16, reach=58)
    tiles = tiles_of(height, width, size, extractor)
    owners = np.zeros((height, width), int)
    for rows, columns in tiles:
        owners[rows.own(1), columns.own(1)] += 1
        for strip, length in ((rows, height), (columns, width)):
            assert strip.start % 16 == strip.first_seen % 16 == 0
            assert strip.stop == length or strip.stop % 16 == 0
            assert strip.first_seen == 0 or strip.start - strip.first_seen >= 58
            assert strip.end_seen == length or strip.end_seen - strip.stop >= 58
            assert strip.stop - strip.start >= min(length, size // 16 * 16 / 2)
    assert (owners == 1).all()


def test_a_run_in_tiles_is_the_run_of_the_whole_picture(vgg16):
    """Its first steps: later, L-BFGS makes more of every rounding."""
    knobs = {"size": 150, "steps": 4, "coarse_to_fine": False, "verbose": 0, "vgg16": vgg16, **SHALLOW}
    whole, history = transfer_style("summer_palace", "poppies", tile=300, **knobs)
    tiled, tiled_history = transfer_style("summer_palace", "poppies", tile=64, **knobs)
    np.testing.assert_allclose(tiled, whole, atol=1e-3)
    np.testing.assert_allclose(tiled_history.history["total_loss"], history.history["total_loss"], rtol=1e-4)


def test_tiles_of_every_size_and_place_share_what_is_compiled(extract, monkeypatch):
    """Else each kind of tile would have functions of its own, compiled anew and kept in memory."""
    compiled, call = [], FeatureExtractor.__call__
    monkeypatch.setattr(FeatureExtractor, "__call__", lambda self, image: compiled.append(image) or call(self, image))
    content, image = load_image("summer_palace", 250), noise_image(167, 250, seed=3)
    evaluate = tiled_gradient(extract, content, [Style(load_image("great_wave", 203))], Recipe(), 64)
    evaluate(image)
    kinds = {tuple(strip.seen.stop - strip.seen.start for strip in tile) for tile in tiles_of(167, 250, 64, extract)}
    assert len(kinds) >= 4
    assert len(compiled) == 4  # the painting's sums, the photo's features, the image's sums and their gradient


def test_where_memory_allows_the_picture_is_whole(extract, monkeypatch):
    free(monkeypatch, 2)
    assert plan_memory(683, 1024, extract, "auto") == WHOLE
    assert plan_memory(683, 1024, extract, 256).tile == 256
    assert plan_memory(133, 200, extract, 4096).tile == 4096  # no tile is larger than the picture


def test_where_it_does_not_tiles_are_as_large_as_it_allows_and_then_l_bfgs_forgets(extract, monkeypatch):
    free(monkeypatch, 4)
    plan = plan_memory(1366, 2048, extract, "auto")
    assert plan.history == HISTORY
    assert 700 < plan.tile < 900  # 4.0 − 2.85 · 0.48 = 2.63 GB are (2 · 58 + 871)² pixels of 2700 bytes
    tighter = [
        plan_memory(1366, 2048, extract, "auto") for gigabytes in (2, 1.5, 1.3) if not free(monkeypatch, gigabytes)
    ]
    assert all(TILE.lowest <= one.tile < plan.tile for one in tighter)
    assert tighter[-1].history < HISTORY


def test_l_bfgs_forgets_before_tiles_become_so_small_that_most_of_them_is_seen_twice(extract, monkeypatch):
    """By hand, 2064×1382 pixels: 1.62 − 2.852 · (0.24 + 0.024 · h) GB are (116 + tile)² pixels of 2700 bytes."""
    free(monkeypatch, 1.62)
    plan = plan_memory(1366, 2048, extract, "auto")
    # 9 steps: 0.320 GB, a tile of 228. 8 steps: 0.388 GB, a tile of 263.
    assert (plan.history, plan.tile) == (8, pytest.approx(263, abs=3))
    free(monkeypatch, 1.1)  # even 3 steps leave a tile of 163 only: then as many as fit. 4: a tile of 113
    plan = plan_memory(1366, 2048, extract, "auto")
    assert (plan.history, plan.tile) == (4, pytest.approx(113, abs=3))


@pytest.mark.parametrize(("tile", "says"), [("auto", "the smallest tiles"), (512, "tiles of 512 pixels")])
def test_what_does_not_fit_in_any_way_is_refused(tile, says, extract, monkeypatch):
    free(monkeypatch, 0.9)
    says = rf"^2048×1366 pixels need about 7\.7 GB of memory, and 0\.9 .*: too little even for {says}\. size=\d+"
    with pytest.raises(MemoryError, match=says):
        plan_memory(1366, 2048, extract, tile)


@given(st.integers(200, 9000), st.floats(0.2, 5), st.floats(0.1, 3), st.sampled_from(["auto", 512]))
def test_the_size_that_is_said_to_fit_does_and_a_tenth_more_does_not(extract, longer, sides, gigabytes, tile):
    shape = fitted_shape(round(1000 * sides), 1000, longer)
    with pytest.MonkeyPatch.context() as monkeypatch:
        free(monkeypatch, gigabytes)
        try:
            plan_memory(*shape, extract, tile)
        except MemoryError as error:
            size = int(re.search(r"size=(\d+)", str(error))[1])
            plan_memory(*fitted_shape(*shape, size), extract, "auto")
            if (more := round(1.1 * size)) <= longer:
                with pytest.raises(MemoryError):
                    plan_memory(*fitted_shape(*shape, more), extract, "auto")


def test_a_run_says_that_it_paints_in_tiles_and_shows_them(vgg16, monkeypatch, capsys, bar_drawn_at_every_call):
    free(monkeypatch, 0.08)
    transfer_style("cat", "poppies", size=200, steps=2, coarse_to_fine=False, vgg16=vgg16, **SHALLOW)
    shown = capsys.readouterr().err
    assert re.search(
        r"200×133 pixels need about 0\.1 GB of memory, and 0\.1 GB are free: painted in \d+ tiles\.", shown
    )
    for step in ("the first step", r"step 1: total [^;]+"):
        for what in ("sums", "gradient"):
            assert re.search(rf"{step}; {what} of tile 1 of \d", shown)
    for what in ("painting's sums", "photo's features"):
        assert re.search(rf"the first step; {what} of tile 1 of \d", shown)
    assert "step 2: total" in shown


def test_tiles_that_were_asked_for_need_no_reason(vgg16, capsys):
    transfer_style("cat", "poppies", size=100, steps=1, coarse_to_fine=False, tile=64, vgg16=vgg16, **SHALLOW)
    shown = capsys.readouterr().err
    assert "painted in 2 tiles." in shown
    assert "GB" not in shown


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
def test_ctrl_c_waits_for_the_tile_and_not_for_the_step(tmp_path, monkeypatch, capsys):
    shown, show_tile = [], ProgressBar.show_tile

    def pressed_in_the_second_step(bar, *which):
        shown.append(which)
        if len(shown) == 14:  # two tiles: the painting's, the photo's, and two passes at the start and for each step
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)  # Python answers a signal between two of its instructions
        show_tile(bar, *which)

    monkeypatch.setattr(ProgressBar, "show_tile", pressed_in_the_second_step)
    command = ["cat", "poppies", "-o", str(tmp_path / "out.png"), "--tile", "64", "--size", "100", "--steps", "3"]
    command += ["--no-coarse-to-fine", "--content-layers", "block1_conv1", "--style-layers", "block1_conv1"]
    assert main(command) == 130
    assert shown[-1] == ("sums", 2, 2)
    assert "Interrupted after step 1. The same command with --resume goes on." in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


def test_a_callback_can_end_the_run_within_a_step(vgg16):
    class Impatient:
        def __call__(self, step, losses, image):
            self.painted = image

        def on_tile(self, what, number, count):
            if hasattr(self, "painted") and (what, number, count) == ("gradient", 2, 2):
                raise StopTransfer

    callback = Impatient()
    image, history = transfer_style(
        "cat", "poppies", size=100, steps=3, coarse_to_fine=False, tile=64, vgg16=vgg16, callbacks=callback, **SHALLOW
    )
    assert (history.epoch, history.params["stopped"]) == ([1], "callback")
    np.testing.assert_array_equal(image, callback.painted)
