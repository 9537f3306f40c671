import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize

from nst_keras import noise_image
from nst_keras._tensorflow import keras, tf
from nst_keras.descent import NotFinite, check_optimizer, downhill, gradient_of, keras_steps, lbfgs, smoothed, steps_of


class OneOverT(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule as people write it: without `get_config`, and not registered."""

    def __call__(self, step):
        return 0.1 / (1.0 + tf.cast(step, tf.float32))


class Configured(OneOverT):
    """The same with a `get_config`, still not registered."""

    def get_config(self):
        return {}


class OwnSGD(keras.optimizers.SGD):
    """An optimizer of one's own, with an argument that its configuration does not hold."""

    def __init__(self, strength):
        super().__init__(learning_rate=strength)


def bowl(image):
    """Σ x²: every pixel falls to 0, and its gradient is 2 x."""
    return {"total_loss": tf.reduce_sum(image**2)}


START = tf.fill((1, 2, 2, 3), 0.5)


def quadratic(matrix, centre):
    """1/2 (x − c)ᵀ A (x − c) over the colours of a picture of 2×2 pixels, with its gradient."""

    def evaluate(image):
        away = tf.reshape(image, -1) - centre
        gradient = tf.linalg.matvec(matrix, away)
        return {"total_loss": float(tf.tensordot(away, gradient, 1)) / 2}, tf.reshape(gradient, image.shape)

    return evaluate


@pytest.mark.parametrize("seed", range(5))
def test_lbfgs_finds_the_minimum_within_the_bounds_that_scipy_finds(seed):
    random = np.random.default_rng(seed)
    root = random.normal(size=(12, 12))
    matrix, centre = (root @ root.T + np.eye(12)).astype(np.float32), random.uniform(-1, 2, 12).astype(np.float32)
    start = noise_image(2, 2, seed)
    steps = list(lbfgs(quadratic(matrix, centre), start, 200))
    expected = minimize(
        lambda x: ((x - centre) @ matrix @ (x - centre) / 2, matrix @ (x - centre)),
        np.ravel(start),
        jac=True,
        bounds=[(0, 1)] * 12,
    )
    losses = [losses["total_loss"] for _, losses in steps]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == pytest.approx(expected.fun, rel=1e-3)
    for image, _ in steps:
        np.testing.assert_array_equal(image, np.clip(image, 0, 1))


def test_the_direction_of_lbfgs_is_that_of_the_full_bfgs_matrix():
    def as_image(values):
        return tf.constant(values.reshape(1, 1, 2, 3))

    random = np.random.default_rng(0)
    root = random.normal(size=(6, 6))
    matrix = root @ root.T + np.eye(6)
    changes = random.normal(size=(3, 6))
    pairs = [(change, matrix @ change) for change in changes]
    change, gradient_change = pairs[-1]
    # What smoothing does to every single pixel value, as a matrix.
    smoothing = np.stack([np.ravel(smoothed(as_image(unit))) for unit in np.eye(6)])
    inverse = smoothing * (change @ gradient_change) / (gradient_change @ smoothing @ gradient_change)
    for change, gradient_change in pairs:  # Nocedal and Wright, eq. 6.17
        left = np.eye(6) - np.outer(change, gradient_change) / (change @ gradient_change)
        inverse = left @ inverse @ left.T + np.outer(change, change) / (change @ gradient_change)
    gradient = random.normal(size=6)

    direction = downhill(as_image(gradient), [(as_image(s), as_image(y)) for s, y in pairs])
    np.testing.assert_allclose(np.ravel(direction), -inverse @ gradient, rtol=1e-9)


def test_the_first_step_of_lbfgs_is_downhill_without_grain_and_as_long_as_promised():
    gradient = tf.constant(np.random.default_rng(0).normal(size=(1, 4, 5, 3)))
    direction, smooth = downhill(gradient, []), smoothed(gradient).numpy()
    np.testing.assert_allclose(direction, -0.02 * smooth / np.mean(np.abs(smooth)), rtol=1e-12)
    np.testing.assert_array_equal(downhill(0 * gradient, []), 0 * gradient)


def test_smoothing_is_that_of_scipy():
    gradient = np.random.default_rng(0).normal(size=(1, 30, 25, 3))
    blurred = [gaussian_filter(gradient[0], (sigma, sigma, 0), mode="constant", truncate=20.0) for sigma in (1, 3)]
    np.testing.assert_allclose(smoothed(tf.constant(gradient))[0], 0.2 * gradient[0] + sum(blurred), rtol=1e-3)


def test_large_images_are_smoothed_in_strips_as_in_one_piece(monkeypatch):
    gradient = tf.constant(np.random.default_rng(0).normal(size=(1, 50, 140, 3)))
    whole = smoothed(gradient)
    monkeypatch.setattr("nst_keras.descent.STRIP", 44)  # of which 8 rows are its own
    np.testing.assert_allclose(smoothed(gradient), whole, rtol=0, atol=2e-9)  # what is 6 σ away counts 1e-9


def test_smoothing_is_symmetric_and_leaves_no_direction_out():
    """Else L-BFGS could go uphill, or never reach some pictures."""
    units = np.eye(4 * 5 * 2).reshape(-1, 1, 4, 5, 2)
    matrix = np.stack([np.ravel(smoothed(tf.constant(unit))) for unit in units])
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-15)
    assert np.linalg.eigvalsh(matrix).min() >= 0.2


def test_lbfgs_forgets_all_where_its_memory_misleads_it_and_goes_on_straight_downhill():
    """A valley that becomes a million times as steep: what L-BFGS remembers takes every step to the far end, 1."""
    seen = []

    def evaluate(image):
        seen.append(image)
        pixels = image.numpy().astype(np.float64)
        if len(seen) < 3:
            steepness, lowest, floor = 1, 0.6, 0
        else:
            steepness, lowest, floor = 1e7, 0.65, -1e9
        gradient = tf.constant(2 * steepness * (pixels - lowest), tf.float32)
        return {"total_loss": floor + steepness * np.sum((pixels - lowest) ** 2)}, gradient

    images = [image.numpy() for image, _ in lbfgs(evaluate, tf.fill((1, 4, 4, 3), 0.4), 8)]
    assert len(images) == 8
    assert np.abs(images[-1] - 0.65).max() < 0.5 * np.abs(images[1] - 0.65).max()


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_lbfgs_takes_as_many_steps_as_it_is_asked_for_and_no_more(steps):
    evaluate = quadratic(np.diag(np.arange(1, 13, dtype=np.float32)), np.float32(0.4))
    taken = list(lbfgs(evaluate, noise_image(2, 2), steps))
    assert len(taken) == steps
    assert [losses for _, losses in taken] == [evaluate(image)[0] for image, _ in taken]


def test_lbfgs_forgets_what_is_older_than_ten_steps(monkeypatch):
    remembered = []

    def watched(gradient, pairs):
        remembered.append(len(pairs))
        return downhill(gradient, pairs)

    monkeypatch.setattr("nst_keras.descent.downhill", watched)
    random = np.random.default_rng(0)
    root = random.normal(size=(12, 12))
    list(lbfgs(quadratic((root @ root.T + np.eye(12)).astype(np.float32), np.float32(0.4)), noise_image(2, 2), 14))
    assert remembered[:12] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10]


@pytest.mark.parametrize(
    ("loss", "slope"),
    [(lambda x: -((x - 0.5) ** 2), lambda x: -2 * (x - 0.5)), (lambda x: -x, lambda x: 0 * x - 1)],
    ids=["curved downwards", "straight"],
)
def test_lbfgs_remembers_no_step_without_an_upward_curve(loss, slope):
    """It would take the way up for the way down, or divide by 0."""
    seen = []

    def evaluate(image):
        seen.append(float(image[0, 0, 0, 0]))
        return {"total_loss": loss(seen[-1])}, slope(image)

    assert len(list(lbfgs(evaluate, tf.fill((1, 1, 1, 1), 0.6), 3))) == 3
    np.testing.assert_allclose(seen, [0.6, 0.62, 0.64, 0.66], rtol=1e-5)


def test_lbfgs_ends_where_no_step_is_downhill():
    assert list(lbfgs(gradient_of(bowl), tf.zeros((1, 2, 2, 3)), 5)) == []


@pytest.mark.parametrize("beyond", [np.nan, np.inf])
def test_lbfgs_shortens_a_step_beyond_which_the_loss_is_not_finite(beyond):
    def evaluate(image):
        x = float(image[0, 0, 0, 0])
        return {"total_loss": x if x > 0.488 else beyond}, tf.ones_like(image)

    image, losses = next(lbfgs(evaluate, tf.fill((1, 1, 1, 1), 0.499), 1))  # the whole first step leads to 0.479
    assert 0.488 < float(image[0, 0, 0, 0]) < 0.499
    assert np.isfinite(losses["total_loss"])


def test_lbfgs_does_not_take_a_step_to_where_the_gradient_is_not_finite():
    def evaluate(image):
        x = float(image[0, 0, 0, 0])
        return {"total_loss": x}, tf.fill(image.shape, np.float32(1.0 if x > 0.485 else np.inf))

    image, _ = next(lbfgs(evaluate, tf.fill((1, 1, 1, 1), 0.5), 1))
    assert float(image[0, 0, 0, 0]) == pytest.approx(0.49)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam", keras.optimizers.SGD(0.1)])
@pytest.mark.parametrize(("loss", "slope"), [(np.nan, 1.0), (np.inf, 1.0), (1.0, np.nan), (1.0, np.inf)])
def test_a_start_that_is_not_finite_is_said(optimizer, loss, slope):
    with pytest.raises(NotFinite, match=r"The (total loss became|gradient of the total loss left)"):
        next(steps_of(optimizer, lambda image: ({"total_loss": loss}, tf.fill(image.shape, slope)), START, 2))


def pixel_after(optimizer, steps, **knobs):
    """The first pixel after each step on Σ x², from 0.5."""
    run = keras_steps(optimizer, gradient_of(bowl), START, steps, **knobs)
    return [float(image[0, 0, 0, 0]) for image, _ in run]


def sgd_by_hand(rates, start=0.5):
    pixels = [start]
    for rate in rates:
        pixels.append(pixels[-1] - rate * 2 * pixels[-1])
    return pixels[1:]


RATES = [0.1 / (1 + step) for step in range(6)]


@pytest.mark.parametrize(
    ("optimizer", "rates"),
    [
        (keras.optimizers.SGD(0.1), [0.1] * 6),
        (keras.optimizers.SGD(OneOverT()), RATES),
        (keras.optimizers.SGD(Configured()), RATES),
        (keras.optimizers.SGD(lambda: 0.1), [0.1] * 6),
        (OwnSGD(0.1), [0.1] * 6),
        (keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)), [0.1] * 6),
        (keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(OneOverT())), RATES),
        (keras.optimizers.SGD(0.1, loss_scale_factor=8.0), [0.1] * 6),
        (keras.optimizers.SGD(keras.optimizers.schedules.PolynomialDecay(0.2, 4, 0.0)), [0.2, 0.15, 0.1, 0.05, 0, 0]),
    ],
    ids=["SGD", "schedule", "with config", "function", "own class", "scaled", "scaled schedule", "factor", "of Keras"],
)
def test_any_optimizer_works_and_its_schedule_goes_on_over_the_stages(optimizer, rates, recwarn):
    first, second = rates[:3], rates[3:]
    for _ in range(2):  # a second run with the same optimizer is as the first
        np.testing.assert_allclose(pixel_after(optimizer, 3), sgd_by_hand(first), rtol=1e-5)
        np.testing.assert_allclose(pixel_after(optimizer, 3, steps_before=3), sgd_by_hand(second), rtol=1e-5)
    assert [str(warning.message) for warning in recwarn] == []


def test_an_optimizer_that_keras_can_copy_is_left_as_it_was():
    for rate in (0.2, keras.optimizers.schedules.PolynomialDecay(0.2, 4, 0.0)):
        optimizer = keras.optimizers.SGD(rate)
        pixel_after(optimizer, 3, steps_before=1)
        assert (optimizer.built, int(optimizer.iterations)) == (False, 0)
        assert float(optimizer.learning_rate) == pytest.approx(0.2)


def test_the_moments_of_adam_begin_anew_with_every_size_and_their_bias_is_corrected():
    for optimizer in (
        keras.optimizers.Adam(0.1),
        keras.optimizers.Adam(OneOverT()),
        keras.optimizers.Adam(lambda: 0.1),
    ):
        assert pixel_after(optimizer, 1, steps_before=0) == pytest.approx([0.4], rel=1e-5)
        expected = 0.5 - 0.1 / 8 if isinstance(optimizer._learning_rate, OneOverT) else 0.4
        assert pixel_after(optimizer, 1, steps_before=7) == pytest.approx([expected], rel=1e-5)


def test_averaged_pixels_are_the_result():
    momentum, pixels = 0.9, [0.5, *sgd_by_hand([0.1] * 4)]
    found = pixel_after(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=momentum), 4)
    np.testing.assert_allclose(found[:3], pixels[1:4], rtol=1e-5)
    average = pixels[1]  # Keras begins with the pixels after the first step
    for pixel in pixels[2:]:
        average = momentum * average + (1 - momentum) * pixel
    assert found[3] == pytest.approx(average, rel=1e-5)


def test_gradients_can_be_gathered_over_several_steps():
    found = pixel_after(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2), 4)
    np.testing.assert_allclose(found, [0.5, 0.4, 0.4, 0.32], rtol=1e-5)


def test_pixels_stay_in_range():
    assert pixel_after(keras.optimizers.SGD(3.0), 2) == [0.0, 0.0]


@pytest.mark.parametrize("optimizer", ["newton", None, 3, keras.optimizers.SGD, {"name": "sgd"}, np.zeros(3)])
def test_what_is_no_optimizer_is_refused(optimizer):
    with pytest.raises(ValueError, match=r'^optimizer is "lbfgs", "adam" or a keras\.optimizers\.Optimizer, not'):
        check_optimizer(optimizer)


def test_with_targets_the_objective_is_compiled_once_for_all_sizes():
    compiled = []

    def objective(image, targets):
        compiled.append(image.shape)
        return {"total_loss": targets["weight"] * tf.reduce_sum((image - targets["picture"]) ** 2)}

    evaluate = gradient_of(objective)
    for side in (2, 3, 5):
        image, picture = noise_image(side, 2 * side, seed=1).numpy(), noise_image(side, 2 * side, seed=2).numpy()
        losses, gradient = evaluate(tf.constant(image), {"weight": tf.constant(3.0), "picture": tf.constant(picture)})
        assert losses["total_loss"] == pytest.approx(3 * np.sum((image - picture) ** 2), rel=1e-5)
        np.testing.assert_allclose(gradient, 6 * (image - picture), rtol=1e-5)
    assert len(compiled) == 1


def test_the_gradient_is_that_of_the_total_loss_and_losses_keep_their_names():
    losses, gradient = gradient_of(lambda x: {"content_loss": tf.reduce_sum(x), "total_loss": tf.reduce_sum(x**3)})(
        START
    )
    assert losses == {"content_loss": 6.0, "total_loss": 1.5}
    np.testing.assert_allclose(gradient, np.full((1, 2, 2, 3), 0.75), rtol=1e-6)


def test_each_name_and_each_object_leads_to_its_own_optimizer():
    def first_step(optimizer):
        image, _ = next(steps_of(optimizer, gradient_of(bowl), tf.constant([[[[0.5, 0.25, 1.0]]]]), 1))
        return np.ravel(image)

    np.testing.assert_allclose(first_step("adam"), [0.48, 0.23, 0.98], rtol=1e-5)  # each pixel by 0.02
    downhill_by = 0.02 * np.array([1.0, 0.5, 2.0]) / np.mean([1.0, 0.5, 2.0])
    np.testing.assert_allclose(first_step("lbfgs"), [0.5, 0.25, 1.0] - downhill_by, rtol=1e-5)
    np.testing.assert_allclose(first_step(keras.optimizers.SGD(0.1)), [0.4, 0.2, 0.8], rtol=1e-5)
    falling = keras.optimizers.schedules.PolynomialDecay(0.1, 2, 0.0)
    np.testing.assert_allclose(first_step(keras.optimizers.SGD(falling)), [0.4, 0.2, 0.8], rtol=1e-5)


@pytest.mark.parametrize(("bound", "slope"), [(0.0, 100.0), (1.0, -100.0)])
def test_a_pixel_that_is_pushed_against_its_bound_has_no_say_in_the_step(bound, slope):
    start, slopes = tf.constant([[[[bound, 0.5]]]]), tf.constant([[[[slope, 1.0]]]])
    evaluate = gradient_of(lambda image: {"total_loss": tf.reduce_sum(slopes * image)})
    image, _ = next(lbfgs(evaluate, start, 1))
    # The mean slope of the other one alone, over both pixels, is 1/2: it moves by 0.02 / (1/2).
    np.testing.assert_allclose(np.ravel(image), [bound, 0.5 - 0.04], rtol=1e-6)


def test_a_step_must_lower_the_loss_by_as_much_as_its_slope_promises():
    """Nocedal and Wright, eq. 3.4, with c = 1e-4, also where the gradient is far from 1."""
    slope = 2.0**20

    def evaluate(image):
        x = float(image[0, 0, 0, 0])
        # The whole step, to 0.48, would have to lower the loss by 1e-4 · 0.02 · slope = 2.1; half of it by 1.05.
        losses = {0.5: 10.0, 0.48: 9.0, 0.49: 8.0}
        return {"total_loss": losses[round(x, 4)]}, tf.fill(image.shape, np.float32(slope))

    image, losses = next(lbfgs(evaluate, tf.fill((1, 1, 1, 1), 0.5), 1))
    assert float(image[0, 0, 0, 0]) == pytest.approx(0.49)
    assert losses == {"total_loss": 8.0}


def test_a_step_is_tried_in_eight_lengths():
    tried = []

    def evaluate(image):
        tried.append(float(image[0, 0, 0, 0]))
        return {"total_loss": float(len(tried))}, tf.ones_like(image)  # higher every time

    assert list(lbfgs(evaluate, tf.fill((1, 1, 1, 1), 0.5), 1)) == []
    np.testing.assert_allclose(tried, [0.5, *(0.5 - 0.02 / 2**trial for trial in range(8))], rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e-25, 1e25, 1e30])
def test_lbfgs_goes_the_same_way_whatever_the_unit_of_the_loss(scale):
    """Also where the squares of a gradient leave the range of float32."""
    matrix = np.diag(np.arange(1, 13, dtype=np.float32))
    ends = [
        [image.numpy() for image, _ in lbfgs(quadratic(unit * matrix, np.float32(0.4)), noise_image(2, 2), 6)]
        for unit in (np.float32(1), np.float32(scale))
    ]
    assert len(ends[0]) == len(ends[1]) == 6
    np.testing.assert_allclose(ends[1], ends[0], atol=1e-3)


def test_an_optimizer_of_keras_keeps_the_pixels_between_black_and_white():
    """One step of length 1 from mid-grey would end at -0.5 and at 1.5."""
    slopes = tf.constant([[[[1.0, -1.0, 0.0]]]])
    [(image, _)] = keras_steps(
        keras.optimizers.SGD(1.0), lambda image: ({"total_loss": 0.0}, slopes), 0.5 + 0 * slopes, 1
    )
    np.testing.assert_array_equal(image, [[[[0.0, 1.0, 0.5]]]])
