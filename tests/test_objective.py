import numpy as np
import pytest

from nst_keras import FeatureExtractor, Recipe, make_objective, noise_image
from nst_keras._tensorflow import tf
from nst_keras.objective import loss, measure

LAYERS = {"content_layers": "c", "style_layers": {"s": 2.0, "t": 0.5}}


@pytest.fixture
def maps():
    """Features of a generated image, of the content, and mean Gram matrices of a style, in float64."""
    random = np.random.default_rng(0)
    features = {name: random.random((1, 4, 6, channels)) for name, channels in (("c", 5), ("s", 3), ("t", 2))}
    content = {"c": random.random((1, 4, 6, 5))}
    grams = [{name: random.random((features[name].shape[-1],) * 2) for name in ("s", "t")}]
    return random.random((1, 8, 12, 3)), features, content, grams


def test_the_losses_are_those_of_numpy_in_float64(maps):
    image, features, content, grams = maps
    recipe = Recipe(content_weight=3.0, style_weight=0.7, total_variation_weight=11.0, **LAYERS)
    found = loss(measure(image, features, content, recipe.style_layers), grams, recipe)

    content_loss = np.sum((features["c"] - content["c"]) ** 2) / 2 / 24
    style_losses = {}
    for name, channels in (("s", 3), ("t", 2)):
        rows = features[name].reshape(24, channels)
        style_losses[name] = np.sum((rows.T @ rows / 24 - grams[0][name]) ** 2) / (4 * channels**2)
    style_loss = 2.0 * style_losses["s"] + 0.5 * style_losses["t"]
    steps = np.sum(np.diff(image, axis=1) ** 2) + np.sum(np.diff(image, axis=2) ** 2)
    expected = {
        "total_loss": 3.0 * content_loss + 0.7 * style_loss + 11.0 * steps / 96,
        "content_loss": content_loss,
        "style_loss": style_loss,
        "total_variation_loss": steps / 96,
        "style_loss/s": style_losses["s"],
        "style_loss/t": style_losses["t"],
    }
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(value, rel=1e-12)


def test_the_sums_of_two_halves_add_up_to_those_of_the_whole(maps):
    image, features, content, _ = maps

    def sums(rows):
        """Of some rows of the features, and of the rows of the image below them."""
        parts = [{name: values[:, rows] for name, values in maps.items()} for maps in (features, content)]
        return measure(image[:, 2 * rows.start : 2 * rows.stop], *parts, ["s", "t"])

    whole, halves = sums(slice(0, 4)), [sums(slice(0, 2)), sums(slice(2, 4))]
    added = tf.nest.map_structure(lambda a, b: a + b, *halves)
    edge = np.sum((image[:, 4] - image[:, 3]) ** 2)  # the steps across the cut belong to neither half
    added["steps"] += edge
    tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), added, whole)


def test_an_objective_works_in_a_function_that_does_not_know_the_size(vgg16, content, style):
    extract = FeatureExtractor(["block1_conv1"], vgg16)
    objective = make_objective(extract, content, style, content_layers="block1_conv1", style_layers="block1_conv1")
    unknown = tf.function(objective, input_signature=[tf.TensorSpec((1, None, None, 3))])
    image = noise_image(*content.shape[1:3])
    for name, value in objective(image).items():
        np.testing.assert_allclose(unknown(image)[name], value, rtol=1e-5)


def test_a_wrong_weight_is_answered_as_in_a_run(vgg16, content, style):
    with pytest.raises(ValueError, match="style_weight must be 0 or a number"):
        make_objective(FeatureExtractor("block1_conv1", vgg16), content, style, style_weight=-1)
    with pytest.raises(TypeError, match="positional"):  # which of five numbers would it be?
        make_objective(FeatureExtractor("block1_conv1", vgg16), content, style, 2.0)


def test_an_extractor_without_the_layers_is_refused(vgg16, content, style):
    extractor = FeatureExtractor(["block1_conv1", "block2_conv1"], vgg16)
    with pytest.raises(ValueError, match=r"The extractor does not give block4_conv2, block3_conv1; make it with"):
        make_objective(extractor, content, style, style_layers=["block1_conv1", "block3_conv1"])
