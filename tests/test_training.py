import itertools
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest

from nst_keras import (
    CONTENT_LAYERS,
    STYLE_LAYERS,
    FeatureExtractor,
    Recipe,
    StopTransfer,
    load_image,
    make_objective,
    noise_image,
    style_loss,
    training,
    transfer_style,
)
from nst_keras._tensorflow import keras, tf
from nst_keras.descent import gradient_of
from nst_keras.images import resize_image
from nst_keras.losses import content_loss
from nst_keras.recipe import MIN_WEIGHT

SMALL = {"size": 64, "steps": 6, "verbose": 0}
# Where it does not matter which layers are compared: the first one takes a tenth of the time.
SHALLOW = SMALL | {"content_layers": "block1_conv1", "style_layers": "block1_conv1"}


def square(name):
    """A picture of the shape in which two stages have the fewest pixels."""
    return load_image(name, size=120)[:, :80, :80]


TWO_STAGES = {"content": square("cat"), "style": square("poppies"), "size": 80, "verbose": 0}


@pytest.fixture
def float64():
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


def test_gradient_on_the_pixels_agrees_with_central_differences(float64):
    """Through all of it: preprocessing, VGG16, both losses, total variation."""
    random = np.random.default_rng(0)
    content, style, image = (random.random((1, 20, 24, 3)) for _ in range(3))
    objective = make_objective(
        FeatureExtractor(CONTENT_LAYERS + STYLE_LAYERS), content, style, total_variation_weight=1e8
    )
    losses, gradient = gradient_of(objective)(tf.constant(image))
    assert gradient.dtype == "float64"

    def total(x):
        return float(objective(tf.constant(x))["total_loss"])

    for _ in range(8):
        direction = random.normal(size=image.shape)
        step = 3e-8 * direction  # short, so as not to step over a kink of ReLU or of max pooling
        expected = (total(image + step) - total(image - step)) / 6e-8
        np.testing.assert_allclose(np.sum(gradient * direction), expected, rtol=1e-5)
    assert losses["total_loss"] == pytest.approx(total(image))


def test_objective_is_the_articles_formula_with_content_per_position(vgg16, content, style):
    layers = CONTENT_LAYERS + STYLE_LAYERS
    extract = FeatureExtractor(layers, vgg16)
    image = noise_image(*content.shape[1:3])
    losses = make_objective(extract, content, style, content_weight=3.0, style_weight=0.5)(image)
    features, of_content, of_style = extract(image), extract(content), extract(style)
    layer = CONTENT_LAYERS[0]
    positions = np.prod(of_content[layer].shape[1:3])
    np.testing.assert_allclose(
        losses["content_loss"], content_loss(features[layer], of_content[layer]) / positions, rtol=1e-5
    )
    expected = style_loss(
        {name: features[name] for name in STYLE_LAYERS}, {name: of_style[name] for name in STYLE_LAYERS}
    )
    np.testing.assert_allclose(losses["style_loss"], expected, rtol=1e-5)
    total = 3.0 * losses["content_loss"] + 0.5 * losses["style_loss"]
    np.testing.assert_allclose(losses["total_loss"], total, rtol=1e-6)


def test_balance_does_not_depend_on_the_size(vgg16, content, style):
    """A picture tiled 2×2 has four times the area, the same content distance and the same style distance."""
    extract = FeatureExtractor(["block1_conv1"], vgg16)
    layers = {"content_layers": "block1_conv1", "style_layers": "block1_conv1"}
    image = noise_image(*content.shape[1:3])
    small = make_objective(extract, content, style, **layers)(image)
    large = make_objective(extract, *(np.tile(x, (1, 2, 2, 1)) for x in (content, style)), **layers)(
        np.tile(image, (1, 2, 2, 1))
    )
    for name in ("content_loss", "style_loss"):
        np.testing.assert_allclose(large[name], small[name], rtol=0.1)  # 8 % of the positions see a border


def test_a_run_reports_every_step_and_lowers_the_loss(vgg16, content, style):
    seen = []
    image, history = transfer_style(
        content, style, vgg16=vgg16, callbacks=[lambda *step: seen.append(step)], size=64, steps=12, verbose=0
    )
    assert image.shape == (1, 43, 64, 3)
    assert image.dtype == "float32"
    assert 0 <= image.numpy().min() < image.numpy().max() <= 1
    steps, losses, images = zip(*seen, strict=True)
    assert list(steps) == history.epoch == list(range(1, 13))
    assert [loss["total_loss"] for loss in losses] == history.history["total_loss"]
    np.testing.assert_array_equal(images[-1], image)
    curves = {name: np.array(values) for name, values in history.history.items()}
    assert set(curves) == {
        "total_loss",
        "content_loss",
        "style_loss",
        "total_variation_loss",
        "size",
        *(f"style_loss/{layer}" for layer in STYLE_LAYERS),
    }
    np.testing.assert_allclose(curves["total_loss"], curves["content_loss"] + 0.15 * curves["style_loss"], rtol=1e-5)
    by_layer = sum(curves[f"style_loss/{layer}"] for layer in STYLE_LAYERS) / 5
    np.testing.assert_allclose(curves["style_loss"], by_layer, rtol=1e-5)
    assert (np.diff(curves["total_loss"]) < 0).all()  # an accepted L-BFGS step never goes up
    assert history.params["stopped"] is None


def test_coarse_to_fine_grows_to_the_size_asked_for(vgg16):
    sizes = []
    image, history = transfer_style(
        "summer_palace",
        "great_wave",
        vgg16=vgg16,
        **SHALLOW | {"size": 128, "steps": 3},
        callbacks=[lambda step, losses, image: sizes.append(tuple(image.shape[1:3]))],
    )
    assert sizes == [(42, 64), (42, 64), (85, 128)]
    assert history.history["size"] == [64, 64, 128]
    assert image.shape == (1, 85, 128, 3)


def test_one_scale_starts_from_noise_of_the_contents_resolution(vgg16, content, style):
    _, history = transfer_style(content, style, coarse_to_fine=False, vgg16=vgg16, **SHALLOW | {"size": 100})
    assert history.params["stages"] == [(67, 100, 6)]


@pytest.fixture(scope="module")
def of_a_fresh_process():
    """Pictures of another process: as usual, and after a switch that cannot be turned back, by both optimizers."""
    code = """if True:
        import sys
        import tensorflow as tf
        from nst_keras import load_vgg16, transfer_style
        options = {"size": 64, "steps": 3, "verbose": 0, "seed": 3, "vgg16": load_vgg16()}
        def paint(**more):
            image, _ = transfer_style("cat", "poppies", **options, **more)
            sys.stdout.buffer.write(image.numpy().tobytes())
        paint()
        tf.experimental.numpy.experimental_enable_numpy_behavior()
        paint(optimizer="lbfgs")
        paint(optimizer="adam")
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=120)
    return np.frombuffer(run.stdout, np.float32).reshape(3, 1, 43, 64, 3)


def test_same_seed_same_picture_also_in_a_fresh_process(vgg16, of_a_fresh_process):
    first, second, other = (
        transfer_style("cat", "poppies", **SMALL | {"steps": 3}, seed=seed, vgg16=vgg16)[0].numpy()
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, of_a_fresh_process[0])
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_tensors_that_behave_like_numpy_arrays_change_nothing(vgg16, of_a_fresh_process):
    usual, by_lbfgs, by_adam = of_a_fresh_process
    np.testing.assert_array_equal(by_lbfgs, usual)
    image, _ = transfer_style("cat", "poppies", optimizer="adam", seed=3, vgg16=vgg16, **SMALL | {"steps": 3})
    np.testing.assert_array_equal(by_adam, image)


@pytest.mark.parametrize(
    "optimizer", ["adam", keras.optimizers.Adam(0.02), keras.optimizers.SGD(1e-9)], ids=["adam", "Adam", "SGD"]
)
def test_keras_optimizers_lower_the_loss_and_are_left_alone(vgg16, content, style, optimizer):
    _, history = transfer_style(content, style, size=64, steps=8, optimizer=optimizer, vgg16=vgg16, verbose=0)
    losses = history.history["total_loss"]
    assert len(losses) == 8
    assert losses[-1] < losses[0]
    if optimizer != "adam":
        assert int(optimizer.iterations) == 0


def test_mixed_bfloat16_gets_about_as_far(vgg16, vgg16_in_16_bits, content, style):
    layers = CONTENT_LAYERS + STYLE_LAYERS
    total = make_objective(FeatureExtractor(layers, vgg16), content, style)
    ends = []
    for model in (vgg16, vgg16_in_16_bits):
        image, history = transfer_style(
            content, style, size=64, steps=20, init="content", coarse_to_fine=False, verbose=0, vgg16=model
        )
        assert len(history.epoch) == 20
        ends.append(float(total(image)["total_loss"]))
    assert ends[1] == pytest.approx(ends[0], rel=0.1)
    assert ends[1] < 0.5 * float(total(content)["total_loss"])


def test_lbfgs_gets_further_than_adam_in_as_many_steps(vgg16, content, style):
    ends = {
        optimizer: transfer_style(content, style, size=64, steps=12, optimizer=optimizer, vgg16=vgg16, verbose=0)[
            1
        ].history["total_loss"][-1]
        for optimizer in ("lbfgs", "adam")
    }
    assert ends["lbfgs"] < ends["adam"]


def test_many_short_stages_are_no_reason_for_a_warning(vgg16, content, style, caplog):
    for _ in range(8):
        transfer_style(content, style, vgg16=vgg16, **SHALLOW | {"steps": 1})
    assert [record.message for record in caplog.records if "retracing" in record.message] == []


def style_distance(image, style, layers, vgg16):
    """The article's style loss in NumPy and float64, of images that go on as in a mirror, not in zeros."""
    grams = []
    for picture in (image, style):
        features = FeatureExtractor(layers, vgg16)(np.pad(picture, ((0, 0), (8, 8), (8, 8), (0, 0)), "symmetric"))
        flat = [np.reshape(features[layer], (-1, features[layer].shape[-1])).astype(np.float64) for layer in layers]
        grams.append([values.T @ values / len(values) for values in flat])
    return sum(np.sum((ours - theirs) ** 2) / (4 * len(ours) ** 2) for ours, theirs in zip(*grams, strict=True))


def test_without_style_the_content_is_reconstructed_and_without_content_the_style(vgg16, content, style):
    layers = ["block1_conv1", "block2_conv1"]
    options = SMALL | {"steps": 30, "content_layers": "block2_conv1", "style_layers": layers, "vgg16": vgg16}
    photo, _ = transfer_style(content, style, style_weight=0, **options)
    texture, _ = transfer_style(content, style, content_weight=0, **options)

    def distance(image):
        return np.sqrt(np.mean((image - content) ** 2))

    assert distance(photo) < 0.2 * distance(noise_image(43, 64, contrast=0.02))
    assert distance(texture) > distance(noise_image(43, 64, contrast=0.02))  # nothing of the photo came in
    of_texture, of_photo, of_content = (
        style_distance(image, style, layers, vgg16) for image in (texture, photo, content)
    )
    assert of_texture < 0.25 * of_content
    assert of_photo == pytest.approx(of_content, rel=0.1)


def test_init_is_where_the_picture_starts(vgg16, content, style):
    options = SHALLOW | {"steps": 1, "optimizer": keras.optimizers.SGD(0.0), "vgg16": vgg16, "coarse_to_fine": False}
    start = load_image("cat", size=64)
    for init, expected in (("content", content), (start, resize_image(start, (43, 64)))):
        image, _ = transfer_style(content, style, init=init, **options)
        np.testing.assert_allclose(image, expected, atol=1e-6)
    image, _ = transfer_style(content, style, init="noise", seed=5, **options)
    np.testing.assert_array_equal(image, noise_image(43, 64, seed=5, contrast=0.02))


def test_a_picture_that_cannot_get_better_is_returned_as_it_is(vgg16, content, style):
    options = SHALLOW | {"style_weight": 0, "coarse_to_fine": False, "vgg16": vgg16}
    image, history = transfer_style(content, style, init="content", **options)
    np.testing.assert_array_equal(image, content)
    assert (history.epoch, history.history, history.params["stopped"]) == ([], {}, None)


def test_weights_of_layers_are_used(vgg16, content, style):
    _, history = transfer_style(
        content, style, style_layers={"block1_conv1": 2.0, "block3_conv1": 0.5}, vgg16=vgg16, **SMALL
    )
    curves = history.history
    expected = 2.0 * np.array(curves["style_loss/block1_conv1"]) + 0.5 * np.array(curves["style_loss/block3_conv1"])
    np.testing.assert_allclose(curves["style_loss"], expected, rtol=1e-5)


def test_total_variation_makes_the_picture_smoother(vgg16, content, style):
    curves = [
        transfer_style(content, style, total_variation_weight=weight, vgg16=vgg16, **SHALLOW)[1].history
        for weight in (0.0, 1e10)
    ]
    assert curves[1]["total_variation_loss"][-1] < 0.5 * curves[0]["total_variation_loss"][-1]


def test_an_interrupted_run_ends_as_well_as_one_that_was_not(vgg16):
    options, images = TWO_STAGES | {"steps": 51, "vgg16": vgg16}, []
    whole, history = transfer_style(callbacks=[lambda *step: images.append(step[2])], **options)
    assert [steps for *_, steps in history.params["stages"]] == [35, 16]
    for stop, begin in ((25, 10), (40, 35), (51, 36)):  # all of a stage's steps, or 15, are done again
        resumed, rest = transfer_style(init=images[stop - 1], initial_step=stop, **options)
        assert rest.epoch == list(range(begin + 1, 52))
        assert sum(steps for *_, steps in rest.params["stages"]) == len(rest.epoch)
        assert resumed.shape == whole.shape
        assert rest.history["total_loss"][-1] < 1.02 * history.history["total_loss"][-1]


@pytest.mark.parametrize("coarse_to_fine", [True, False])
def test_ctrl_c_returns_the_picture_so_far(vgg16, content, style, coarse_to_fine):
    images = []

    def interrupt(step, losses, image):
        images.append(image)
        if step == 2:
            raise KeyboardInterrupt

    image, history = transfer_style(
        content,
        style,
        coarse_to_fine=coarse_to_fine,
        callbacks=[interrupt],
        vgg16=vgg16,
        **SHALLOW | {"size": 96, "steps": 9},
    )
    assert history.params["stopped"] == "interrupted"
    assert len(history.history["total_loss"]) == history.params["steps"] == 2
    assert image.shape == (1, 64, 96, 3)
    np.testing.assert_allclose(image, resize_image(images[-1], (64, 96)))


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_picture(vgg16, content, style):
    class NanAfter3Steps(keras.optimizers.SGD):
        def apply_gradients(self, gradients_and_pixels):
            super().apply_gradients(gradients_and_pixels)
            if self.iterations == 4:
                gradients_and_pixels[0][1].assign(np.full((1, 59, 80, 3), np.nan))

    images = []
    with pytest.warns(UserWarning, match="became nan after step 3: the picture of that step is kept"):
        image, history = transfer_style(
            content,
            style,
            optimizer=NanAfter3Steps(1e-9),
            callbacks=[lambda step, losses, image: images.append(image)],
            vgg16=vgg16,
            **SHALLOW,
        )
    assert history.params["stopped"] == "diverged"
    assert len(images) == len(history.history["total_loss"]) == 3
    np.testing.assert_array_equal(image, images[-1])
    assert np.isfinite(image).all()


def share_that_is_left(content, style, weight, vgg16):
    """How much of the total loss a short run leaves, with α = β = `weight`."""
    weights = {"content_weight": weight, "style_weight": weight}
    losses = transfer_style(content, style, vgg16=vgg16, **weights, **SMALL)[1].history["total_loss"]
    assert len(losses) == SMALL["steps"]
    return losses[-1] / losses[0]


@pytest.fixture(scope="module")
def share_left_with_weights_of_1(content, style, vgg16):
    return share_that_is_left(content, style, 1.0, vgg16)


@pytest.mark.parametrize(
    "optimizer", [keras.optimizers.SGD(1e38), keras.optimizers.Adam(10.0)], ids=lambda optimizer: optimizer.name
)
def test_steps_so_long_that_only_black_and_white_are_left_are_warned_of(vgg16, content, style, optimizer):
    with pytest.warns(UserWarning, match=r"More than half of the colours .* Make the learning rate smaller"):
        image, _ = transfer_style(content, style, optimizer=optimizer, vgg16=vgg16, **SMALL)
    assert np.median(np.abs(image - 0.5)) == 0.5


@pytest.mark.filterwarnings("error")
def test_a_start_in_black_and_white_is_no_reason_for_a_warning(vgg16, content, style):
    page, optimizer = np.ones_like(content), keras.optimizers.SGD(0.0)
    image, _ = transfer_style(content, style, init=page, optimizer=optimizer, vgg16=vgg16, **SHALLOW | {"steps": 1})
    np.testing.assert_array_equal(image, page)


@pytest.mark.parametrize("weight", [MIN_WEIGHT, 1e-20, 1e20, 1e25])
def test_only_the_proportion_of_the_weights_matters(vgg16, content, style, weight, share_left_with_weights_of_1):
    """Also where the square of a gradient leaves the range of float32, down to the smallest weight there is."""
    share = share_that_is_left(content, style, weight, vgg16)
    assert share == pytest.approx(share_left_with_weights_of_1, rel=1e-3)


def test_a_loss_that_is_never_finite_is_an_error(vgg16, content, style):
    with pytest.raises(ValueError, match=r"total loss became inf in the first step.*Make the weights"):
        transfer_style(content, style, style_weight=1e30, vgg16=vgg16, **SMALL)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"steps": 0}, "steps must be a whole number from 1 to 1000000000, not 0"),
        ({"steps": 10**30}, "steps must be .* not 10{30}"),
        ({"steps": 2.5}, "not 2.5"),
        ({"initial_step": 7}, "initial_step must be a whole number from 0 to 6, not 7"),
        ({"seed": -1}, "seed .* not -1"),
        ({"content_weight": -1}, r"content_weight must be 0 or a number from 1e-25 to 1e\+30, not -1"),
        ({"content_weight": 10**400}, "content_weight must be 0 or a number"),
        ({"style_weight": 1e-31}, "style_weight must be 0 or a number"),
        ({"style_weight": float("nan")}, "style_weight .* not nan"),
        ({"total_variation_weight": "much"}, "total_variation_weight .* not 'much'"),
        ({"style_layers": {"block1_conv1": -2}}, "weight of style layer block1_conv1 .* not -2"),
        ({"style_layers": []}, "at least one content layer and one style layer"),
        ({"content_layers": "conv4"}, "no layer 'conv4'; its layers are"),
        ({"content_weight": 0, "style_weight": 0}, "both 0"),
        ({"optimizer": "newton"}, "not 'newton'"),
        ({"init": "cubism"}, "no file cubism"),
        ({"verbose": "no"}, "verbose is 1 for a progress bar or 0 for none, not 'no'"),
        ({"size": 20}, "The content image has 64×43 pixels, which size 20 makes 20×13.*at least 16.*a size from 24,"),
        ({"size": 10, "content_layers": "block1_conv1", "style_layers": "block1_conv1"}, "10×7.*at least 8"),
        ({"style": np.zeros((1, 4000, 3))}, "The style image has 4000×1 pixels, which size 64 makes 64×1,"),
        ({"content": PIL.Image.new("RGB", (0, 0))}, "it has no pixels"),
        ({"size": 10**400}, "size .* from 1 to 65535"),
        ({"style_layers": None}, "Layers are a name, several names"),
        ({"style_layers": ["block1_conv1", "block1_conv1"]}, "layer block1_conv1 is named twice"),
        ({"content_layers": {"block4_conv2": 0}, "style_weight": 0}, "leave nothing"),
        ({"content_layers": {"block4_conv2": 1e-20}, "content_weight": 1e-20, "style_weight": 0}, "leave nothing"),
        ({"size": 0}, "size must be a whole number from 1 to 65535, or None, not 0"),
        ({"content": np.full((4, 4, 3), 200.0)}, "Divide"),
    ],
)
def test_bad_arguments_are_answered_before_the_run(options, says, vgg16, content, style):
    arguments = {"content": content, "style": style} | SMALL | {"vgg16": vgg16} | options
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        transfer_style(**arguments)


def test_in_16_bits_a_picture_needs_less_memory(monkeypatch, vgg16_in_16_bits):
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=8 * 10**8))
    with pytest.raises(MemoryError, match=r"2048×1366 pixels need about 6\.6 GB"):
        transfer_style("summer_palace", "great_wave", size=2048, steps=1, vgg16=vgg16_in_16_bits)


def test_verbose_shows_losses_and_remaining_time(vgg16, content, style, capsys):
    transfer_style(content, style, vgg16=vgg16, **SHALLOW | {"steps": 3, "verbose": 1})
    assert "100 %" in (shown := capsys.readouterr().err)
    assert "left" in shown
    assert "64×43 step 3: total" in shown


def test_a_message_does_not_stick_to_the_progress_bar(vgg16, content, style, capsys):
    with pytest.raises(ValueError, match="in the first step"):
        transfer_style(content, style, style_weight=1e30, vgg16=vgg16, **SMALL | {"verbose": 1})
    print("nst-keras: a message", file=sys.stderr)
    shown = capsys.readouterr().err
    assert shown.endswith("\nnst-keras: a message\n")
    assert shown.count("left") == len(re.findall(r"\r.*?left", shown))  # each drawing begins its line anew


@pytest.mark.parametrize("shape", [(40, 400), (300, 16)])
def test_a_narrow_style_stays_large_enough_in_the_coarse_stages(vgg16, shape):
    """At 300 pixels it has enough; in the first stage, of 75 pixels, it would have 8."""
    style = np.random.default_rng(0).random((*shape, 3))
    image, history = transfer_style("cat", style, size=300, steps=6, verbose=0, vgg16=vgg16)
    assert len(history.params["stages"]) == 3
    assert image.shape == (1, 200, 300, 3)


@pytest.mark.parametrize("init", [PIL.Image.new("RGB", (1200, 900), "red"), np.full((30, 90, 3), 0.4), "poppies"])
def test_a_start_of_any_size_and_aspect_is_brought_to_the_pictures(vgg16, content, style, init):
    options = {"steps": 1, "optimizer": keras.optimizers.SGD(0.0), "coarse_to_fine": False}
    image, _ = transfer_style(content, style, init=init, vgg16=vgg16, **SHALLOW | options)
    assert image.shape == (1, 43, 64, 3)
    np.testing.assert_allclose(image, resize_image(load_image(init, size=64), (43, 64)), atol=1e-6)


def test_a_huge_start_is_made_smaller_before_it_becomes_floats(vgg16, content, style, monkeypatch):
    largest, constant = [], tf.constant

    def watched(values, *arguments, **options):
        largest.append(np.size(values))
        return constant(values, *arguments, **options)

    monkeypatch.setattr(tf, "constant", watched)
    huge = PIL.Image.new("RGB", (4000, 3000))
    transfer_style(content, style, init=huge, vgg16=vgg16, **SHALLOW | {"steps": 1})
    assert max(largest) < 300 * 300 * 3


def test_where_a_stage_ends_early_steps_keep_the_numbers_of_the_plan(vgg16, monkeypatch):
    """So that a run which is interrupted later goes on in the right stage."""
    lbfgs, stages = training.steps_of, []

    def first_stage_ends_after_3(optimizer, evaluate, image, steps, steps_before=0, history=10):
        stages.append(tuple(image.shape[1:3]))
        return itertools.islice(lbfgs(optimizer, evaluate, image, steps), 3 if steps_before == 0 else None)

    monkeypatch.setattr(training, "steps_of", first_stage_ends_after_3)
    options = SHALLOW | TWO_STAGES | {"steps": 40, "vgg16": vgg16}

    def stop(step, losses, image):
        if step == 30:
            raise StopTransfer

    image, history = transfer_style(callbacks=stop, **options)
    [(*_, coarse), _] = history.params["stages"]
    assert history.epoch == [1, 2, 3, *range(coarse + 1, 31)]
    stages.clear()
    _, rest = transfer_style(init=image, initial_step=30, **options)
    assert stages == [(80 + 16, 80 + 16)]
    assert rest.epoch[-1] == 40


@pytest.mark.parametrize("many", [False, True])
def test_a_callback_can_end_the_run_and_keep_the_picture(vgg16, content, style, many):
    images = []

    def enough(step, losses, image):
        images.append(image)
        if step == 2:
            raise StopTransfer

    image, history = transfer_style(content, style, callbacks=[enough] if many else enough, vgg16=vgg16, **SHALLOW)
    assert (history.params["stopped"], history.epoch) == ("callback", [1, 2])
    np.testing.assert_array_equal(image, resize_image(images[-1], (43, 64)))


@pytest.mark.parametrize("callbacks", [None, (), [], iter([])])
def test_no_callbacks_are_given_in_many_ways(vgg16, content, style, callbacks):
    _, history = transfer_style(content, style, callbacks=callbacks, vgg16=vgg16, **SHALLOW | {"steps": 1})
    assert history.epoch == [1]


@pytest.mark.parametrize(
    ("callbacks", "says"),
    [
        ([keras.callbacks.EarlyStopping()], "not EarlyStopping, a callback for `model.fit`; .*StopTransfer"),
        (keras.callbacks.EarlyStopping(), "not EarlyStopping, a callback for `model.fit`"),
        ([print, 3], "not int; one that raises StopTransfer ends the run"),
        (7, "not int"),
        ("print", "not str"),
    ],
)
def test_what_cannot_be_called_is_answered_before_the_run(callbacks, says, content, style):
    with pytest.raises(ValueError, match=r"called as callback\(step, losses, image\), " + says):
        transfer_style(content, style, callbacks=callbacks, **SMALL)


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize(
    "trouble",
    [
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[1,64,9,9]"),
        MemoryError("Unable to allocate 15.3 MiB for an array"),  # NumPy's
    ],
)
def test_memory_that_runs_out_on_the_way_keeps_the_picture(vgg16, content, style, monkeypatch, after, trouble):
    def exhausted(optimizer, evaluate, image, steps, steps_before=0, history=10):
        yield from itertools.islice(steps_of(optimizer, evaluate, image, steps), after)
        raise trouble

    steps_of = training.steps_of
    monkeypatch.setattr(training, "steps_of", exhausted)
    if after == 0:
        with pytest.raises(MemoryError, match=r"^Memory ran out in the first step\. Choose a smaller size"):
            transfer_style(content, style, vgg16=vgg16, **SHALLOW)
        return
    with pytest.warns(UserWarning, match="Memory ran out after step 2: the picture of that step is kept"):
        image, history = transfer_style(content, style, vgg16=vgg16, **SHALLOW)
    assert (history.params["stopped"], history.epoch) == ("out of memory", [1, 2])
    assert image.shape == (1, 43, 64, 3)


def test_a_recipe_and_its_knobs_give_the_same_picture(vgg16, content, style):
    knobs = {"size": 64, "steps": 3, "content_layers": "block1_conv1", "style_layers": "block1_conv1", "seed": 7}
    one, _ = transfer_style(content, style, verbose=0, vgg16=vgg16, **knobs)
    other, _ = transfer_style(content, style, recipe=Recipe(**knobs | {"seed": 1}), seed=7, verbose=0, vgg16=vgg16)
    np.testing.assert_array_equal(one, other)


def test_a_schedule_goes_on_over_the_stages_of_a_run(vgg16):
    steps_seen = []

    class Watched(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            steps_seen.append(int(step))
            return 1e-9

    _, history = transfer_style(optimizer=keras.optimizers.SGD(Watched()), vgg16=vgg16, **SHALLOW | TWO_STAGES)
    assert len(history.params["stages"]) == 2
    # Keras asks several times a step, and once more when it gets the schedule back.
    assert list(dict.fromkeys(steps_seen))[:6] == [0, 1, 2, 3, 4, 5]
