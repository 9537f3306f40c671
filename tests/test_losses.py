"""Every formula against worked examples, an independent float64 version in NumPy, and properties that must hold."""

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

from nst_keras import (
    content_loss,
    gram_matrix,
    layer_style_loss,
    style_loss,
    total_loss,
    total_variation_loss,
)
from nst_keras._tensorflow import tf
from nst_keras.losses import mean_gram_matrix

shapes = st.tuples(st.just(1), st.integers(1, 7), st.integers(1, 7), st.integers(1, 6))
seeds = st.integers(0, 2**32 - 1)


def random_features(shape, seed, dtype=np.float64):
    return np.random.default_rng(seed).uniform(0, 50, shape).astype(dtype)


# The formulas once more, in loops as a textbook would write them, in float64.
def numpy_gram(features):
    flat = np.asarray(features, np.float64)[0].reshape(-1, features.shape[-1])
    channels = flat.shape[1]
    return np.array([[sum(flat[:, i] * flat[:, j]) for j in range(channels)] for i in range(channels)])


def numpy_layer_style_loss(generated, style):
    total, n = 0.0, generated.shape[-1]
    g, a = numpy_gram(generated), numpy_gram(style)
    m_generated, m_style = np.prod(generated.shape[1:3]), np.prod(style.shape[1:3])
    for i in range(n):
        for j in range(n):
            total += (g[i, j] / m_generated - a[i, j] / m_style) ** 2
    return total / (4 * n**2)


def test_gram_matrix_of_the_tiger():
    stripes, eye, diamonds = [1, 0, 2, 0], [1, 0, 1, 0], [0, 3, 0, 0]
    features = np.stack([stripes, eye, diamonds], axis=-1).reshape(1, 2, 2, 3)
    expected = [[1 + 4, 1 + 2, 0], [1 + 2, 1 + 1, 0], [0, 0, 9]]
    np.testing.assert_array_equal(gram_matrix(features), expected)


def test_content_loss_by_hand():
    generated = np.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 2, 2, 1)
    content = np.array([1.0, 0.0, 3.0, 1.0]).reshape(1, 2, 2, 1)
    assert float(content_loss(generated, content)) == (2**2 + 3**2) / 2


def test_layer_style_loss_is_the_articles_formula_where_sizes_agree():
    # N = 2 channels, M = 3 positions, A = 0
    generated = np.array([[2.0, 1.0], [0.0, 0.0], [0.0, 0.0]]).reshape(1, 1, 3, 2)
    style = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]).reshape(1, 1, 3, 2)
    np.testing.assert_array_equal(gram_matrix(generated), [[4, 2], [2, 1]])
    assert float(layer_style_loss(generated, style)) == pytest.approx((16 + 4 + 4 + 1) / (4 * 2**2 * 3**2))


def test_total_variation_by_hand():
    # steps down: 1 and 3, right: 2 and 0, over four pixels
    image = np.array([[0.0, 2.0], [1.0, 5.0]]).reshape(1, 2, 2, 1)
    assert float(total_variation_loss(image)) == (1**2 + 3**2 + 2**2 + 4**2) / 4


def test_total_loss_weighs_content_with_alpha_and_style_with_beta():
    assert total_loss(3.0, 5.0, content_weight=2.0, style_weight=10.0) == 2 * 3 + 10 * 5
    assert total_loss(3.0, 5.0) == 3 + 5


@example((1, 1, 5, 1), 3, 0, np.float32)  # two Gram matrices that nearly cancel
@given(shapes, st.integers(1, 7), seeds, st.sampled_from([np.float32, np.float64]))
def test_losses_agree_with_numpy_in_float64(shape, style_width, seed, dtype):
    generated = random_features(shape, seed, dtype)
    content = random_features(shape, seed + 1, dtype)
    style = random_features((1, 5, style_width, shape[-1]), seed + 2, dtype)
    rtol = 1e-4 if dtype == np.float32 else 1e-9
    np.testing.assert_allclose(gram_matrix(generated), numpy_gram(generated), rtol=rtol)
    expected = np.sum((generated.astype(np.float64) - content) ** 2) / 2
    np.testing.assert_allclose(content_loss(generated, content), expected, rtol=rtol)
    # What is rounded are the Gram matrices: their difference is as exact as they are large, not as it is itself.
    size = sum(numpy_layer_style_loss(features, 0 * features) for features in (generated, style))
    loss = layer_style_loss(generated, style)
    np.testing.assert_allclose(loss, numpy_layer_style_loss(generated, style), atol=rtol * size)


@given(st.integers(2, 9), st.integers(2, 9), seeds)
def test_total_variation_agrees_with_numpy_in_float64(height, width, seed):
    image = np.random.default_rng(seed).random((1, height, width, 3))
    steps = np.sum(np.diff(image, axis=1) ** 2) + np.sum(np.diff(image, axis=2) ** 2)
    np.testing.assert_allclose(total_variation_loss(image.astype(np.float32)), steps / (height * width), rtol=1e-4)


@given(seeds, st.floats(0, 10), st.floats(0.1, 10))
def test_style_loss_is_the_weighted_sum_over_layers(seed, weight_a, weight_b):
    generated = {"a": random_features((1, 3, 4, 2), seed), "b": random_features((1, 2, 2, 5), seed + 1)}
    style = {"a": random_features((1, 3, 4, 2), seed + 2), "b": random_features((1, 6, 2, 5), seed + 3)}
    losses = {layer: numpy_layer_style_loss(generated[layer], style[layer]) for layer in "ab"}
    weighted = style_loss(generated, style, {"a": weight_a, "b": weight_b})
    np.testing.assert_allclose(weighted, weight_a * losses["a"] + weight_b * losses["b"])
    np.testing.assert_allclose(style_loss(generated, style), (losses["a"] + losses["b"]) / 2)


@given(shapes, seeds)
def test_gram_matrix_is_symmetric_and_forgets_the_order_of_positions(shape, seed):
    features = random_features(shape, seed)
    gram = gram_matrix(features).numpy()
    shuffled = np.random.default_rng(seed).permutation(features.reshape(-1, shape[-1])).reshape(shape)
    np.testing.assert_allclose(gram, gram.T)
    np.testing.assert_allclose(gram_matrix(shuffled), gram)
    assert np.linalg.eigvalsh(gram).min() >= -1e-9 * np.trace(gram)


@given(shapes, seeds)
def test_style_loss_does_not_change_when_both_images_repeat(shape, seed):
    generated, style = random_features(shape, seed), random_features(shape, seed + 1)
    tiled = np.tile(generated, (1, 2, 3, 1))
    np.testing.assert_allclose(layer_style_loss(tiled, style), layer_style_loss(generated, style))


@given(shapes, seeds)
def test_identical_features_have_no_loss(shape, seed):
    features = random_features(shape, seed)
    assert float(content_loss(features, features)) == 0
    assert float(layer_style_loss(features, features)) == 0


def central_differences(function, x, step=1e-4):
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (float(function(up)) - float(function(down))) / (2 * step)
    return gradient


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: content_loss(x, np.linspace(0, 1, 24).reshape(1, 2, 3, 4)),
        lambda x: layer_style_loss(x, np.linspace(0, 1, 40).reshape(1, 2, 5, 4)),
        lambda x: style_loss({"a": x}, {"a": np.linspace(0, 1, 24).reshape(1, 2, 3, 4)}),
        total_variation_loss,
        lambda x: tf.reduce_sum(gram_matrix(x) * np.arange(16.0).reshape(4, 4)),
    ],
    ids=[
        "content",
        "layer style",
        "style",
        "total variation",
        "each entry of a Gram matrix in its own way",
    ],
)
def test_gradient_and_curvature_agree_with_central_differences(loss):
    x, direction = np.random.default_rng(0).random((2, 1, 2, 3, 4))

    def slope(x):
        """How fast the loss rises in the direction, and the gradient of that."""
        x = tf.constant(x)
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                value = loss(x)
            gradient = inner.gradient(value, x)
            slope = tf.reduce_sum(gradient * direction)
        return slope, gradient, outer.gradient(slope, x)

    _, gradient, curvature = slope(x)
    np.testing.assert_allclose(gradient, central_differences(loss, x), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(curvature, central_differences(lambda x: slope(x)[0], x), rtol=1e-6, atol=1e-8)


def test_losses_work_inside_tf_function_and_return_scalars():
    features = random_features((1, 3, 4, 2), 0)
    for loss in (content_loss, layer_style_loss):
        outside, inside = loss(features, features + 1), tf.function(loss)(features, features + 1)
        assert outside.shape == inside.shape == ()
        np.testing.assert_allclose(inside, outside, rtol=1e-6)


@settings(max_examples=20)
@given(st.sampled_from([np.float16, np.int32, np.uint8, np.float64]))
def test_other_dtypes_are_computed_without_overflow(dtype):
    features = np.full((1, 50, 50, 2), 200, dtype)
    np.testing.assert_array_equal(gram_matrix(features), np.full((2, 2), 200.0**2 * 2500))


def test_inputs_are_left_alone():
    generated, style = random_features((1, 2, 2, 3), 0), random_features((1, 2, 2, 3), 1)
    before = generated.copy(), style.copy()
    gram_matrix(generated), content_loss(generated, style), layer_style_loss(generated, style)
    np.testing.assert_array_equal((generated, style), before)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: gram_matrix(np.ones((2, 3, 4))), r"\(2, 3, 4\).*image\[None\]"),
        (lambda: gram_matrix(np.ones((1, 3, 4))), r"\(1, 3, 4\).*image\[None\]"),
        (lambda: gram_matrix(np.ones((1, 2, 3, 4, 5))), r"\(1, 2, 3, 4, 5\)"),
        (lambda: gram_matrix(np.ones((2, 3, 4, 5))), r"\(2, 3, 4, 5\)"),
        (lambda: gram_matrix(np.ones((1, 0, 4, 5))), r"\(1, 0, 4, 5\)"),
        (lambda: content_loss(np.ones((1, 2, 2, 1)), np.ones((1, 2, 3, 1))), r"\(1, 2, 2, 1\).*\(1, 2, 3, 1\)"),
        (lambda: layer_style_loss(np.ones((1, 2, 2, 1)), np.ones((1, 2, 2, 3))), "generated has 1, style 3"),
        (lambda: layer_style_loss(np.ones((1, 2, 2, 4)), np.ones((1, 2, 2, 3))), "generated has 4, style 3"),
        (lambda: style_loss({"a": 0}, {"b": 0}), r"generated has \['a'\], style \['b'\]"),
        (lambda: style_loss({}, {}), "at least one"),
        (lambda: style_loss({"a": np.ones((1, 1, 1, 1))}, {"a": np.ones((1, 1, 1, 1))}, {"b": 1}), r"\['b'\].*\['a'\]"),
        (lambda: total_variation_loss(np.ones((1, 1, 5, 3))), "2×2 pixels, not 1×5"),
        (lambda: total_variation_loss(np.ones((1, 5, 1, 3))), "2×2 pixels, not 5×1"),
    ],
)
def test_bad_input_is_answered_with_what_was_wrong(call, says):
    with pytest.raises(ValueError, match=says):
        call()


@pytest.mark.parametrize("spec", [(1, None, None, 3), (None, None, None, 3), (1, None, 4, 3), (1, 5, 4, 3)])
def test_every_formula_works_in_a_function_that_does_not_know_the_size(spec):
    random = np.random.default_rng(0)
    one, other = (random.random((1, 5, 4, 3)).astype(np.float32) for _ in range(2))
    pairs, singles = (content_loss, layer_style_loss), (gram_matrix, mean_gram_matrix, total_variation_loss)
    for formulas, arguments in ((pairs, (one, other)), (singles, (one,))):
        for formula in formulas:
            compiled = tf.function(formula, input_signature=[tf.TensorSpec(spec)] * len(arguments))
            np.testing.assert_allclose(compiled(*arguments), formula(*arguments), rtol=1e-6)
