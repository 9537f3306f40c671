import gc
import warnings
import weakref

import numpy as np
import pytest

from nst_keras import FeatureExtractor, gram_matrix, load_image, load_vgg16
from nst_keras._tensorflow import keras, tf
from nst_keras.features import BUNDLED_WEIGHTS, FrozenConv2D, FrozenMaxPooling2D


def test_shapes_of_the_article(vgg16):
    convolutions = [layer.name for layer in vgg16.layers if "conv" in layer.name]
    first, seventh, tenth = convolutions[0], convolutions[6], convolutions[9]
    features = FeatureExtractor([first, seventh, tenth], vgg16)(np.zeros((1, 224, 224, 3), np.float32))
    assert [tuple(features[layer].shape) for layer in (first, seventh, tenth)] == [
        (1, 224, 224, 64),
        (1, 56, 56, 256),
        (1, 28, 28, 512),
    ]


def test_bundled_weights_are_the_published_ones(vgg16):
    # As Keras users print them: the first kernel values of block1_conv1, for the channels blue, green, red.
    kernel = vgg16.get_layer("block1_conv1").kernel.numpy()
    published = [
        [4.29470569e-01, 1.17273867e-01, 3.40129584e-02, -1.32241577e-01, -5.33475243e-02, 7.57738389e-03],
        [5.50379455e-01, 2.08774377e-02, 9.88311544e-02, -8.48205537e-02, -5.11389151e-02, 3.74943428e-02],
        [4.80015397e-01, -1.72696680e-01, 3.75577137e-02, -1.27135560e-01, -5.02991639e-02, 3.48965675e-02],
    ]
    np.testing.assert_allclose(kernel[0, 0][:, [0, 1, 2, -3, -2, -1]], published, rtol=2**-11)
    assert vgg16.count_params() == 14_714_688


def test_first_layer_against_a_convolution_by_hand(vgg16):
    """RGB in [0, 1] → BGR, minus the ImageNet means → zero padding → convolution → ReLU, in NumPy and float64."""
    image = load_image("summer_palace", size=40)
    layer = vgg16.get_layer("block1_conv1")
    kernel, bias = layer.kernel.numpy().astype(np.float64), layer.bias.numpy().astype(np.float64)
    bgr = image.numpy()[0, ..., ::-1] * 255.0 - np.array([103.939, 116.779, 123.68])
    padded = np.pad(bgr, ((1, 1), (1, 1), (0, 0)))
    height, width = bgr.shape[:2]
    expected = bias + sum(padded[i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3))
    features = FeatureExtractor("block1_conv1", vgg16)(image)["block1_conv1"]
    np.testing.assert_allclose(features[0], np.maximum(expected, 0), rtol=1e-4, atol=1e-3)
    assert expected.min() < 0  # so ReLU had something to do


def test_extractor_runs_no_deeper_than_asked(vgg16):
    shallow = FeatureExtractor(["block2_conv1", "block1_conv2"], vgg16)
    assert shallow.model.layers[-1].name == "block2_conv1"
    assert [layer.name for layer in shallow.model.layers if "block3" in layer.name] == []


def test_features_depend_on_the_image_alone(vgg16, content):
    extract = FeatureExtractor(["block3_conv1"], vgg16)
    np.testing.assert_array_equal(extract(content)["block3_conv1"], extract(content.numpy())["block3_conv1"])
    assert not vgg16.trainable_variables


def test_average_pooling_takes_the_mean_where_max_takes_the_largest(vgg16, content):
    averaging = load_vgg16(pooling="average")
    layers = ["block1_conv2", "block1_pool"]
    before = FeatureExtractor(layers, averaging)(content)
    np.testing.assert_array_equal(before["block1_conv2"], FeatureExtractor(layers, vgg16)(content)["block1_conv2"])
    squares = before["block1_conv2"].numpy()[0, :42, :64].reshape(21, 2, 32, 2, 64)
    np.testing.assert_allclose(before["block1_pool"][0, :21], squares.mean(axis=(1, 3)), rtol=1e-5, atol=1e-4)
    highest = FeatureExtractor(layers, vgg16)(content)["block1_pool"]
    np.testing.assert_array_equal(highest[0, :21], squares.max(axis=(1, 3)))


@pytest.fixture(scope="module")
def plain_vgg16(vgg16):
    """The same network as Keras makes it, with TensorFlow's own gradients."""
    plain = keras.applications.VGG16(include_top=False, weights=None)
    plain.set_weights(vgg16.get_weights())
    return plain


def squares(extract, image):
    return sum(tf.reduce_mean(tf.square(values)) for values in extract(image).values())


def gradient_and_curvature(extract, image, direction):
    """The gradient of the mean squares, and the second derivatives times a direction."""
    with tf.GradientTape() as outer:
        outer.watch(image)
        with tf.GradientTape() as inner:
            inner.watch(image)
            loss = squares(extract, image)
        gradient = inner.gradient(loss, image)
        along = tf.reduce_sum(gradient * direction)
    return gradient, outer.gradient(along, image)


def test_gradients_are_those_of_tensorflow(vgg16, plain_vgg16):
    layers = ("block1_conv1", "block2_conv2", "block5_pool")
    images = tf.concat([load_image("cat", size=75), 1 - load_image("cat", size=75)], axis=0)
    assert images.shape == (2, 50, 75, 3)  # 75 and 25 are odd: their last columns and rows are in no pool
    direction = tf.random.stateless_uniform(images.shape, seed=(1, 2))
    found, expected = (
        gradient_and_curvature(FeatureExtractor(layers, network), images, direction) for network in (vgg16, plain_vgg16)
    )
    for values, right in zip(found, expected, strict=True):
        assert tf.norm(values - right) < 1e-5 * tf.norm(right)


def test_gradients_of_a_function_that_takes_any_size(vgg16):
    extract = FeatureExtractor("block3_conv1", vgg16)

    @tf.function(input_signature=[tf.TensorSpec((1, None, None, 3))])
    def gradient(image):
        return tf.gradients(squares(extract, image), image)[0]

    for shape in ((13, 22), (16, 9)):
        image = load_image("cat", size=24)[:, : shape[0], : shape[1]]
        expected, _ = gradient_and_curvature(extract, image, image)
        np.testing.assert_allclose(gradient(image), expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())


def gradient_of_squares(layer, inputs):
    """Compiled anew at each call."""

    @tf.function
    def gradient(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(layer(inputs) ** 2)
        return tape.gradient(loss, inputs)

    return gradient(inputs), weakref.ref(gradient.get_concrete_function(inputs).graph)


def test_functions_share_the_turned_kernels_until_the_weights_change():
    inputs = tf.constant(np.random.default_rng(0).normal(size=(1, 6, 7, 2)).astype(np.float32))
    ours, plain = FrozenConv2D(3, 3, padding="same"), keras.layers.Conv2D(3, 3, padding="same")
    ours(inputs), plain(inputs)
    for seed in (1, 2):
        weights = [np.random.default_rng(seed).normal(size=weight.shape) for weight in ours.get_weights()]
        ours.set_weights(weights), plain.set_weights(weights)
        expected, _ = gradient_of_squares(plain, inputs)
        np.testing.assert_allclose(gradient_of_squares(ours, inputs)[0], expected, rtol=1e-4, atol=1e-4)
        turned = ours.turned
        gradient_of_squares(ours, inputs)
        assert ours.turned is turned  # each function would hold 40 MB of VGG16's


@pytest.mark.parametrize("make", [lambda: FrozenConv2D(3, 3, padding="same"), FrozenMaxPooling2D, lambda: gram_matrix])
def test_a_graph_is_forgotten_with_its_function(make):
    """TensorFlow never forgets a function with a gradient of its own, nor the graph that it is part of."""
    part, inputs = make(), tf.random.stateless_normal((1, 6, 7, 2), seed=(1, 2))
    part(inputs)
    _, graph = gradient_of_squares(part, inputs)
    gc.collect()
    assert graph() is None


def test_the_gradient_of_pooling_by_hand():
    values = tf.constant([[1.0, 5, 3], [2, 4, 3], [7, 7, 0], [7, 1, 0], [9, 9, 9]])[None, ..., None]
    with tf.GradientTape() as tape:
        tape.watch(values)
        largest = FrozenMaxPooling2D()(values)
        total = tf.reduce_sum(largest * tf.constant([[10.0], [6]])[None, ..., None])
    np.testing.assert_array_equal(largest[0, ..., 0], [[5], [7]])
    # The 5 is the largest of its four. Three sevens share alike. What is left over at the odd borders is in no pool.
    expected = [[0, 10, 0], [0, 0, 0], [2, 2, 0], [2, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(tape.gradient(total, values)[0, ..., 0], expected, rtol=1e-6)


def test_weights_can_be_a_path(tmp_path, vgg16):
    path = tmp_path / "веса.weights.h5"
    path.write_bytes(BUNDLED_WEIGHTS.read_bytes())
    for ours, theirs in zip(load_vgg16(path).get_weights(), vgg16.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_imagenet_weights_go_through_the_download_of_keras(monkeypatch, vgg16):
    asked = []

    def get_file(name, origin, **options):
        asked.append(name)
        return str(BUNDLED_WEIGHTS)

    monkeypatch.setattr("keras.src.applications.vgg16.file_utils.get_file", get_file)
    np.testing.assert_array_equal(load_vgg16("imagenet").get_weights()[0], vgg16.get_weights()[0])
    assert asked == ["vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"]


def test_a_failed_download_names_the_way_out(monkeypatch):
    def get_file(*args, **options):
        raise Exception("URL fetch failure: Network is unreachable")

    monkeypatch.setattr("keras.src.applications.vgg16.file_utils.get_file", get_file)
    with pytest.raises(ConnectionError, match=r'Network is unreachable.*weights="bundled" needs no network'):
        load_vgg16("imagenet")


def test_wrong_weights_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no weights file nowhere\.weights\.h5"):
        load_vgg16("nowhere.weights.h5")
    damaged = tmp_path / "damaged.weights.h5"
    damaged.write_bytes(BUNDLED_WEIGHTS.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"damaged\.weights\.h5 does not hold the weights of VGG16"):
        load_vgg16(damaged)
    other = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]).save_weights(other)
    with pytest.raises(ValueError, match=r"other\.weights\.h5 does not hold the weights of VGG16"):
        load_vgg16(other)
    with pytest.raises(ValueError, match="not 'min'"):
        load_vgg16(pooling="min")


def test_damaged_bundled_weights_are_noticed(tmp_path, monkeypatch):
    damaged = tmp_path / "vgg16.weights.h5"
    contents = bytearray(BUNDLED_WEIGHTS.read_bytes())
    contents[10_000_000] ^= 1
    damaged.write_bytes(contents)
    monkeypatch.setattr("nst_keras.features.BUNDLED_WEIGHTS", damaged)
    with pytest.raises(ValueError, match=r"vgg16\.weights\.h5 is damaged"):
        load_vgg16()
    monkeypatch.setattr("nst_keras.features.BUNDLED_WEIGHTS", tmp_path / "gone.h5")
    with pytest.raises(FileNotFoundError, match=r"no weights file .*gone\.h5"):
        load_vgg16()


@pytest.mark.parametrize(
    ("setting", "value", "usual"),
    [
        ("floatx", "float16", "float32"),
        ("dtype_policy", "float16", "float32"),
        ("dtype_policy", "mixed_float16", "float32"),
        ("dtype_policy", "bfloat16", "float32"),
        ("image_data_format", "channels_first", "channels_last"),
    ],
)
def test_settings_of_keras_that_spoil_the_losses_are_refused(setting, value, usual):
    FeatureExtractor("block1_conv1")  # what is loaded already doesn't count
    change = getattr(keras.config, f"set_{setting}")
    change(value)
    try:
        for load in (load_vgg16, lambda: FeatureExtractor("block1_conv1")):
            with pytest.raises(ValueError, match=rf"(set to {value}|channels first).*set_{setting}\('{usual}'\)"):
                load()
    finally:
        change(usual)


def test_extractors_share_the_bundled_network(vgg16):
    first, second = FeatureExtractor("block1_conv1"), FeatureExtractor("block3_conv1")
    assert second.model.get_layer("block1_conv1") is first.model.get_layer("block1_conv1")
    image = load_image("cat", size=24)
    expected = FeatureExtractor("block3_conv1", vgg16)(image)["block3_conv1"]
    np.testing.assert_array_equal(second(image)["block3_conv1"], expected)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert FeatureExtractor("block1_conv1").dtype_policy == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert FeatureExtractor("block1_conv1").dtype_policy == "float32"


def test_with_mixed_bfloat16_features_and_gradients_are_about_the_same(vgg16, vgg16_in_16_bits, content):
    layers = ("block1_conv1", "block3_conv1", "block5_conv2")
    half = FeatureExtractor(layers, vgg16_in_16_bits)
    assert half.model.get_layer("block3_conv1").compute_dtype == "bfloat16"
    found = []
    for extract in (FeatureExtractor(layers, vgg16), half):
        with tf.GradientTape() as tape:
            tape.watch(content)
            features = extract(content)
            loss = sum(tf.reduce_sum(tf.square(values)) for values in features.values())
        found.append([*features.values(), tape.gradient(loss, content)])
    *exact, exact_gradient = found[0]
    *rounded, gradient = found[1]
    for values, expected in zip(rounded, exact, strict=True):
        assert values.dtype == tf.float32
        assert 0 < tf.norm(values - expected) < 0.05 * tf.norm(expected)  # 8 bits keep each number to 0.4 %
    # Where max pooling picks another of two nearly equal values the gradient changes its place, not its sense.
    cosine = tf.reduce_sum(gradient * exact_gradient) / (tf.norm(gradient) * tf.norm(exact_gradient))
    assert cosine > 0.95


def test_a_wrong_layer_is_answered_with_those_that_exist(vgg16):
    with pytest.raises(ValueError, match=r"no layer 'conv1_1'; its layers are block1_conv1, .*block5_pool\."):
        FeatureExtractor(["block1_conv1", "conv1_1"], vgg16)
    with pytest.raises(ValueError, match="Name at least one layer of VGG16; its layers are block1_conv1"):
        FeatureExtractor([], vgg16)


def test_images_that_cannot_be_used_are_refused(vgg16):
    extract = FeatureExtractor("block5_conv1", vgg16)
    with pytest.raises(ValueError, match=r"15×40 pixels is too small.*at least 16"):
        extract(np.zeros((1, 40, 15, 3), np.float32))
    with pytest.raises(ValueError, match=r"this has \(40, 40, 3\)"):
        extract(np.zeros((40, 40, 3), np.float32))
    assert extract(np.zeros((1, 16, 16, 3), np.float32))["block5_conv1"].shape == (1, 1, 1, 512)


def test_values_that_are_no_image_are_refused(vgg16):
    extract = FeatureExtractor("block1_conv1", vgg16)
    with pytest.raises(ValueError, match=r"holds floats in \[0, 1\]; this holds uint8\. load_image makes one"):
        extract(np.zeros((1, 8, 8, 3), np.uint8))
    for low, high in ((0, 255), (-1, 1), (0, np.nan)):
        image = np.linspace(low, high, 8 * 8 * 3, dtype=np.float32).reshape(1, 8, 8, 3)
        with pytest.raises(ValueError, match=r"values of an image lie in \[0, 1\]; these go from .*Divide"):
            extract(image)
    slightly_over = np.full((1, 8, 8, 3), 1.2, np.float32)  # as an optimizer without clipping does
    assert extract(slightly_over)["block1_conv1"].shape == (1, 8, 8, 64)


@pytest.mark.parametrize("numbers", ["float16", "mixed_float16", "bfloat16"])
def test_a_model_of_ones_own_in_too_few_bits_is_refused(numbers):
    keras.config.set_dtype_policy(numbers)
    try:
        own = keras.applications.VGG16(include_top=False, weights=None)
    finally:
        keras.config.set_dtype_policy("float32")
    with pytest.raises(ValueError, match=f"block1_conv1 of this model computes in {numbers}, .*or mixed_bfloat16"):
        FeatureExtractor("block1_conv1", own)


def test_a_remark_of_keras_on_loading_does_not_spoil_the_weights(monkeypatch, vgg16):
    def remarking(self, path):
        warnings.warn("This way of loading is deprecated.", UserWarning, stacklevel=2)
        load_weights(self, path)

    load_weights = keras.Model.load_weights
    monkeypatch.setattr(keras.Model, "load_weights", remarking)
    np.testing.assert_array_equal(load_vgg16().get_weights()[0], vgg16.get_weights()[0])


def test_wrong_weights_are_refused_in_one_sentence_without_remarks(tmp_path, recwarn):
    other = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]).save_weights(other)
    with pytest.raises(ValueError, match=r"^.*other\.weights\.h5 does not hold"):
        load_vgg16(other)
    assert [warning for warning in recwarn if warning.category is UserWarning] == []


def test_weights_may_lie_in_the_home_folder(tmp_path, monkeypatch, vgg16):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "own.weights.h5").write_bytes(BUNDLED_WEIGHTS.read_bytes())
    np.testing.assert_array_equal(load_vgg16("~/own.weights.h5").get_weights()[0], vgg16.get_weights()[0])


def test_another_network_is_refused():
    other = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3, name="conv1")])
    with pytest.raises(ValueError, match=r"^The model given as vgg16 has no layer 'block1_conv1': it is no VGG16\."):
        FeatureExtractor("block1_conv1", other)


@pytest.mark.parametrize("vgg16", ["imagenet", load_vgg16, 16])
def test_what_is_no_model_is_refused(vgg16):
    with pytest.raises(ValueError, match=r"^vgg16 is a model from load_vgg16, not "):
        FeatureExtractor("block1_conv1", vgg16)
