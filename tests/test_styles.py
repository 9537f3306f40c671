import io

import numpy as np
import pytest
from PIL import Image

from nst_keras import (
    STYLE_LAYERS,
    FeatureExtractor,
    Style,
    gram_matrix,
    load_image,
    make_objective,
    noise_image,
    transfer_style,
)
from nst_keras._tensorflow import tf
from nst_keras.descent import gradient_of
from nst_keras.objective import regions_of, shares_of
from nst_keras.pictures import open_picture, pixels_of, shape_of
from nst_keras.styles import open_style, styles_from

LAYERS = ("block1_conv1", "block2_conv1", "block3_conv1")
SPACING = (1, 2, 4)  # pixels from one position to the next
ONE_LAYER = {"content_layers": "block1_conv1", "style_layers": "block1_conv1"}


@pytest.fixture(scope="module")
def extract(vgg16):
    return FeatureExtractor(LAYERS, vgg16)


@pytest.fixture(scope="module")
def images():
    """Content, a generated image and two styles; every layer's positions divide at x = 32."""
    return [load_image("summer_palace", 64)[:, :32], noise_image(32, 64, seed=1)] + [
        load_image(name, 96)[:, :48, :64] for name in ("great_wave", "poppies")
    ]


def half_mask(height, width, left=True):
    mask = np.zeros((1, height, width, 1), np.float32)
    mask[:, :, slice(None, width // 2) if left else slice(width // 2, None)] = 1
    return mask


def style_of(extract, content, style, **knobs):
    return make_objective(extract, content, style, content_layers=LAYERS[0], style_layers=LAYERS, **knobs)


def mean_gram(features, mask=None):
    """In NumPy and float64, straight from the definition: the mean of F Fᵀ over positions, each counted by the mask."""
    rows = np.asarray(features, np.float64).reshape(-1, features.shape[-1])
    counts = np.ones(len(rows)) if mask is None else np.asarray(mask, np.float64).reshape(-1)
    return np.einsum("k,ki,kj->ij", counts, rows, rows) / counts.sum()


def distance(gram, target):
    return np.sum((gram - target) ** 2) / (4 * len(gram) ** 2)


def pooled(mask, times):
    """2×2 means, one pooling after the other, as the network has them."""
    mask = np.asarray(mask, np.float64)[0, ..., 0]
    for _ in range(times):
        height, width = (side // 2 * 2 for side in mask.shape)
        mask = mask[:height, :width].reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
    return mask


def test_a_guided_gram_matrix_and_its_gradient_are_those_of_the_features_times_the_root_of_the_mask():
    random = np.random.default_rng(0)
    features, mask, slopes = random.random((1, 4, 6, 5)), random.random((1, 4, 6, 1)), random.random((5, 5))
    features = tf.constant(features)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(features)
        gram = gram_matrix(features, mask)
        rows = tf.reshape(features * np.sqrt(mask), (-1, 5))
        expected = tf.matmul(rows, rows, transpose_a=True)
    np.testing.assert_allclose(gram, expected, rtol=1e-12)
    gradients = (tape.gradient(matrix, features, output_gradients=tf.constant(slopes)) for matrix in (gram, expected))
    np.testing.assert_allclose(*gradients, rtol=1e-12)


@pytest.mark.parametrize(
    "style", [["a", Style("b", share=0.5)], ("a", Style("b", share=0.5)), {"a": 1, "b": 0.5}], ids=repr
)
def test_several_styles_are_a_list_or_shares(style):
    assert [(one.image, one.share) for one in styles_from(style)] == [("a", 1), ("b", 0.5)]


@pytest.mark.parametrize("image", ["a", [[0.0, 1.0]], ((0.0, 1.0),), np.zeros((2, 2)), Image.new("RGB", (2, 2))])
def test_one_style_is_an_image_also_one_of_nested_lists(image):
    [style] = styles_from(image)
    assert style.image is image
    assert styles_from(style) == [style]
    assert styles_from([style]) == [style]


def test_the_share_beside_a_style_is_its_share():
    [style] = styles_from({Style("a", scale=2): 3})
    assert (style.image, style.share, style.scale) == ("a", 3, 2)


@pytest.mark.parametrize(
    "style",
    [[("poppies", 2)], {"poppies", "great_wave"}, (name for name in ("poppies", "cat")), (np.zeros((1, 4, 4, 3)), {})],
    ids=["pairs", "set", "generator", "image and history"],
)
def test_what_is_neither_a_style_nor_several_is_refused_in_one_sentence(style):
    with pytest.raises(ValueError, match=r"^A picture is a file, the name of a bundled one, or an array, not "):
        transfer_style("cat", style)


@pytest.mark.parametrize("style", [[], {}])
def test_no_style_is_refused(style):
    with pytest.raises(ValueError, match="Give at least one style"):
        transfer_style("cat", style)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"share": 0}, "share must be a number from 0.001 to 1000, not 0"),
        ({"share": float("nan")}, "share must be a number"),
        ({"share": True}, "share must be a number"),
        ({"scale": -1}, "scale must be a number from 0.1 to 10, not -1"),
        ({"scale": "2"}, "scale must be a number"),
    ],
)
def test_a_share_or_scale_that_makes_no_sense_is_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        Style("cat", **arguments)


def test_one_style_costs_what_it_did_to_the_bit(extract, images):
    """In a tf.function, where TensorFlow reorders operations: those of the formula, written down here once more."""
    content, image, style, _ = images
    targets = {
        layer: gram_matrix(extract(style)[layer]) / (48 * 64 / side**2)
        for layer, side in zip(LAYERS, SPACING, strict=True)
    }
    content_features = extract(content)[LAYERS[0]]

    @tf.function
    def formula(image):
        features = extract(image)
        content_loss = tf.reduce_sum(tf.square(features[LAYERS[0]] - content_features)) / 2 / (32 * 64)
        distances = [
            tf.reduce_sum(tf.square(gram_matrix(features[layer]) / (32 * 64 // side**2) - targets[layer]))
            / (4 * features[layer].shape[-1] ** 2)
            for layer, side in zip(LAYERS, SPACING, strict=True)
        ]
        return 1.0 * content_loss + 0.15 * sum(1 / 3 * one for one in distances)

    for one in (style, Style(style, share=7), [style]):
        objective = style_of(extract, content, one)
        assert float(tf.function(objective)(image)["total_loss"]) == float(formula(image))
        assert "style_loss/1" not in objective(image)


def test_a_blend_is_the_weighted_mean_of_its_styles_in_numpy(extract, images):
    content, image, *styles = images
    found = style_of(extract, content, [Style(styles[0], share=3), Style(styles[1], share=1)], content_weight=0.0)(
        image
    )
    grams = {layer: mean_gram(values) for layer, values in extract(image).items()}
    parts = [
        share * np.mean([distance(grams[layer], mean_gram(values)) for layer, values in extract(style).items()])
        for share, style in zip((0.75, 0.25), styles, strict=True)
    ]
    np.testing.assert_allclose([found["style_loss/1"], found["style_loss/2"]], parts, rtol=1e-4)
    np.testing.assert_allclose(found["style_loss"], sum(parts), rtol=1e-4)
    np.testing.assert_allclose(found["style_loss"], np.mean([found[f"style_loss/{layer}"] for layer in LAYERS]))
    np.testing.assert_allclose(found["total_loss"], 0.15 * found["style_loss"])


def test_masks_of_ones_are_no_masks(extract, images):
    content, image, style, _ = images
    plain = gradient_of(style_of(extract, content, style))(image)
    region, style_region = np.ones((1, 32, 64, 3), np.float32), np.ones((1, 48, 64, 1), np.float32)
    masked = gradient_of(style_of(extract, content, Style(style, region=region, style_region=style_region)))(image)
    assert masked[0] == pytest.approx(plain[0], rel=1e-5)
    np.testing.assert_allclose(masked[1], plain[1], atol=1e-4 * np.abs(plain[1]).max())


def test_two_halves_cost_what_each_costs_alone(extract, images):
    content, image, *styles = images
    regions = [half_mask(32, 64), half_mask(32, 64, left=False)]
    pair = [
        Style(style, region=region, share=share) for style, region, share in zip(styles, regions, (1, 5), strict=True)
    ]
    found = style_of(extract, content, pair)(image)
    features = extract(image)
    for number, style, part in ((1, styles[0], slice(None, 32)), (2, styles[1], slice(32, None))):
        distances = []
        for layer, side in zip(LAYERS, SPACING, strict=True):
            half = features[layer][:, :, part.start and part.start // side : part.stop and part.stop // side]
            distances.append(distance(mean_gram(half), mean_gram(extract(style)[layer])))
        # Half of the positions each, whatever the shares: they do not overlap.
        np.testing.assert_allclose(found[f"style_loss/{number}"], 0.5 * np.mean(distances), rtol=1e-4)


def test_overlapping_and_grey_regions_share_every_pixel(extract, images):
    content, image, *styles = images
    random = np.random.default_rng(0)
    masks = random.random((2, 1, 32, 64, 1)).astype(np.float32) * np.array([1, 0.5]).reshape(2, 1, 1, 1, 1)
    masks[:, :, :10] = 0  # nothing reaches the upper rows: no 0 / 0
    pair = [Style(style, region=mask, share=share) for style, mask, share in zip(styles, masks, (2, 1), strict=True)]
    found = style_of(extract, content, pair)(image)
    weighted = masks * np.array([2, 1]).reshape(2, 1, 1, 1, 1)
    together = weighted.sum(axis=0)
    for number, style, one in zip((1, 2), styles, weighted, strict=True):
        counts = np.where(together > 0, one / np.maximum(together, 1e-12), 0) * np.minimum(1, masks.sum(axis=0))
        distances = []
        for layer, poolings in zip(LAYERS, (0, 1, 2), strict=True):
            mask = pooled(counts, poolings)
            gram = mean_gram(extract(image)[layer], mask)
            distances.append(mask.mean() * distance(gram, mean_gram(extract(style)[layer])))
        np.testing.assert_allclose(found[f"style_loss/{number}"], np.mean(distances), rtol=1e-4)


def test_grey_regions_that_add_up_to_white_keep_their_edge_as_it_is(extract, images):
    content, image, style, _ = images
    soft = np.tile(np.linspace(0, 1, 64, dtype=np.float32)[None, None, :, None], (1, 32, 1, 1))
    found = style_of(extract, content, [Style(style, region=soft), Style(style, region=1 - soft)])(image)
    features, target = extract(image)["block1_conv1"], mean_gram(extract(style)["block1_conv1"])
    expected = sum(mask.mean() * distance(mean_gram(features, mask), target) for mask in (soft, 1 - soft))
    np.testing.assert_allclose(found["style_loss/block1_conv1"], expected, rtol=1e-4)


def test_nothing_moves_beyond_the_reach_of_a_region(extract, images):
    content, image, style, _ = images
    region = half_mask(32, 64)
    losses = make_objective(
        extract,
        content,
        Style(style, region=region),
        content_weight=0.0,
        content_layers=LAYERS[0],
        style_layers=LAYERS[:2],
    )
    gradient = gradient_of(losses)(image)[1].numpy()
    # block2_conv1 looks a position of two pixels further, and block1's two convolutions a pixel each.
    assert (gradient[:, :, 36:] == 0).all()
    assert (np.abs(gradient[:, :, :32]).max(axis=(0, 1, 3)) > 0).all()
    assert (gradient[:, :, 32:36] != 0).any()


@pytest.mark.parametrize("columns", [1, 3])
def test_in_its_region_a_style_pulls_as_hard_as_alone_on_the_whole_picture(extract, images, columns):
    """One of four equal parts of a picture: its Gram matrix is that of the whole, and so is every pixel's gradient."""
    content, image, style, _ = (tf.tile(image[:, :32, :32], (1, 1, 4, 1)) for image in images)
    region = np.zeros((1, 32, 128, 1), np.float32)
    region[:, :, : 32 * columns] = 1
    whole, part = (
        gradient_of(make_objective(extract, content, one, content_weight=0.0, **ONE_LAYER))(image)[1].numpy()
        for one in (style, Style(style, region=region))
    )
    # Only near a vertical edge of the picture or of the region the parts differ.
    scale = np.abs(whole).max()
    np.testing.assert_allclose(part[:, :, 4:28], whole[:, :, 4:28], atol=0.1 * scale)
    assert np.linalg.norm(part[:, :, 4:28] - whole[:, :, 4:28]) < 0.05 * np.linalg.norm(whole[:, :, 4:28])


def test_a_style_is_taken_from_its_style_region_only(extract, images):
    content, image, style, _ = images
    found = style_of(extract, content, Style(style, style_region=half_mask(48, 64)))(image)
    for layer, side in zip(LAYERS, SPACING, strict=True):
        target = mean_gram(extract(style)[layer][:, :, : 32 // side])
        expected = distance(mean_gram(extract(image)[layer]), target)
        np.testing.assert_allclose(found[f"style_loss/{layer}"], expected, rtol=1e-4)


@pytest.mark.parametrize("shape", [(32, 63), (32, 65), (31, 64), (33, 64), (64, 32)])
def test_a_region_of_another_size_than_the_image_is_refused(shape, extract, images):
    with pytest.raises(
        ValueError, match=r"height and width of the image that it is a mask of, \(32, 64\), not the shape"
    ):
        style_of(extract, images[0], Style(images[2], region=np.ones((1, *shape, 1))))


def test_a_run_with_regions_and_its_history(vgg16):
    sky, ground = Style("great_wave", region="summer_palace_sky"), Style("poppies", region="summer_palace_ground")
    image, history = transfer_style("summer_palace", [sky, ground], size=120, steps=2, verbose=0, vgg16=vgg16)
    assert image.shape == (1, 80, 120, 3)
    assert history.history["size"] == [60, 120]
    curves = {name: np.array(values) for name, values in history.history.items()}
    np.testing.assert_allclose(curves["style_loss/1"] + curves["style_loss/2"], curves["style_loss"], rtol=1e-5)
    np.testing.assert_allclose(
        sum(curves[f"style_loss/{layer}"] for layer in STYLE_LAYERS) / 5, curves["style_loss"], rtol=1e-5
    )


def test_a_region_is_painted_and_the_rest_is_left_to_the_content(vgg16):
    """From the photo itself, and far from the region: nothing pulls there."""
    region = np.zeros((64, 256))
    region[:, :32] = 1
    photo = load_image("coffee", 256)[:, 50:114]
    image, _ = transfer_style(
        photo, Style("great_wave", region=region), size=256, steps=6, init="content", vgg16=vgg16, verbose=0,
        coarse_to_fine=False, style_layers=LAYERS, content_layers="block3_conv1",
    )  # fmt: skip
    moved = np.abs(image - photo).mean(axis=(0, 1, 3))
    assert moved[:32].mean() > 0.05
    assert moved[96:].max() < 1e-3


@pytest.mark.parametrize(("photo", "parts"), [("summer_palace", ("sky", "ground")), ("coffee", ("cup", "table"))])
def test_each_region_comes_nearer_to_its_own_painting_than_to_the_other(photo, parts, extract, vgg16):
    """By a third at least, in NumPy, on features that the mask picks out."""
    paintings = ("great_wave", "moulin_de_la_galette")
    styles = [Style(name, region=f"{photo}_{part}") for name, part in zip(paintings, parts, strict=True)]
    knobs = {"size": 128, "steps": 30, "style_layers": LAYERS, "content_layers": LAYERS[-1], "content_weight": 0.1}
    image, _ = transfer_style(photo, styles, verbose=0, vgg16=vgg16, **knobs)
    features = extract(image)
    grams = [
        {layer: mean_gram(values) for layer, values in extract(load_image(name, 128)).items()} for name in paintings
    ]
    for number, part in enumerate(parts):
        mask = load_image(f"{photo}_{part}", 128)
        own, other = (
            sum(distance(mean_gram(features[layer], pooled(mask, poolings)), gram[layer])
                for poolings, layer in enumerate(LAYERS))
            for gram in (grams[number], grams[1 - number])
        )  # fmt: skip
        assert own < 2 / 3 * other


def test_the_photos_own_size(vgg16):
    image, _ = transfer_style(load_image("cat", 70), "poppies", size=None, steps=1, verbose=0, vgg16=vgg16)
    assert image.shape == (1, 47, 70, 3)


def test_twice_the_scale_has_larger_strokes(vgg16):
    """How far the texture of a style keeps its colour: the autocorrelation reaches further."""
    squares = np.kron(np.random.default_rng(0).random((16, 16)) > 0.5, np.ones((8, 8)))
    knobs = {"size": 64, "steps": 30, "content_weight": 0, "coarse_to_fine": False, "verbose": 0, "vgg16": vgg16}
    lengths = []
    for scale in (1, 2):
        style = Style(squares, scale=scale)
        image, _ = transfer_style(noise_image(64, 64), style, style_layers=LAYERS, content_layers=LAYERS[0], **knobs)
        grey = image.numpy()[0].mean(axis=-1)
        correlation = np.fft.ifft2(np.abs(np.fft.fft2(grey - grey.mean())) ** 2).real
        along_both = (correlation[0] + correlation[:, 0])[:12] / (2 * correlation[0, 0])
        lengths.append(np.interp(-0.3, -along_both, np.arange(12)))
    assert lengths[1] > 1.4 * lengths[0]


@pytest.mark.parametrize("name", ["summer_palace_sky", "coffee_cup"])
def test_bundled_masks_are_of_their_photos_and_divide_them_in_two(name):
    photo, other = {"summer_palace_sky": ("summer_palace", "ground"), "coffee_cup": ("coffee", "table")}[name]
    mask, rest = load_image(name), load_image(f"{photo}_{other}")
    assert mask.shape == rest.shape == load_image(photo).shape
    np.testing.assert_allclose(mask + rest, 1, atol=1e-6)
    assert 0.3 < np.mean(mask) < 0.7
    assert np.mean((mask > 0.1) & (mask < 0.9)) < 0.05  # sharp, but for its edges


@pytest.mark.parametrize(
    ("shape", "fits"),
    [
        ((27, 40), True),
        ((427, 640), True),
        ((854, 1280), True),
        ((428, 640), True),
        ((430, 640), False),
        ((640, 427), False),
    ],
)
def test_a_mask_is_of_any_size_but_of_the_photos_aspect(shape, fits):
    style = Style("great_wave", region=np.ones(shape))
    if fits:
        assert open_style(style, (427, 640), 64, 16).region.shape == (*shape, 3)
    else:
        with pytest.raises(
            ValueError, match=r"The region of great_wave has \d+×\d+ pixels, another aspect than the 640×427"
        ):
            open_style(style, (427, 640), 64, 16)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "array"])
def test_what_is_transparent_in_a_mask_is_not_painted(mode):
    """As image editors export a mask: white on a transparent layer."""
    mask = Image.new("LA", (64, 43), (255, 0))
    mask.paste((255, 255), (0, 0, 32, 43))
    region = np.asarray(mask.convert("RGBA")) if mode == "array" else mask.convert(mode)
    opened = open_style(Style("great_wave", region=region), (427, 640), 64, 16).region
    np.testing.assert_array_equal(pixels_of(opened, 64), np.tile(half_mask(43, 64)[0], 3))


@pytest.mark.parametrize("side", [0, 10, 13])
def test_a_mask_that_is_empty_or_vanishes_at_the_deepest_layer_is_refused(side):
    """13 of 1000 pixels are at size 100 less than the 16×16 of one position at block5."""
    mask = np.zeros((1000, 1000))
    mask[:side, : 10 * side] = 1
    says = r"nearly empty: \d+ of its 100×100 pixels at this size are white" if side else "is empty: it is black"
    for kind, called in (("region", "The region of the style "), ("style_region", "The style region of the style ")):
        with pytest.raises(ValueError, match=called + ".*" + says):
            open_style(Style(np.zeros((1000, 1000)), **{kind: mask}), (1000, 1000), 100, 16)
    file = io.BytesIO()
    Image.fromarray((mask * 255).astype(np.uint8)).save(file, "PNG")
    with pytest.raises(ValueError, match="empty"):
        open_style(Style(np.zeros((1000, 1000)), region=file.getvalue()), (1000, 1000), 100, 16)


def test_a_mask_of_zeros_and_ones_is_told_how_to_be_white():
    ones = np.ones((48, 64), np.uint8)
    with pytest.raises(ValueError, match=r"region of poppies is nearly black: .* array of bool or float; or .* by 255"):
        open_style(Style("poppies", region=ones), (48, 64), 64, 16)
    for white in (ones.astype(bool), ones.astype(float), ones * 255):
        open_style(Style("poppies", region=white), (48, 64), 64, 16)


def test_a_photo_in_colours_is_no_mask():
    with pytest.raises(ValueError, match="cat has colours; a mask has none"):
        open_style(Style("poppies", region="cat"), shape_of(open_picture("cat")), 64, 16)


def test_a_scale_that_leaves_nothing_of_the_painting_is_refused():
    """400×400 at a tenth of 120 pixels: 12, and block5 needs 16. The scale that the message names is enough."""
    painting, photo = np.full((400, 400, 3), 0.5), (120, 120)
    with pytest.raises(ValueError, match=r"style image at scale 0\.1 has 12 pixels.* needs 16; .* from 0\.14"):
        open_style(Style(painting, scale=0.1), photo, 120, 16)
    open_style(Style(painting, scale=0.14), photo, 120, 16)


def test_a_region_just_large_enough_gives_no_nan_at_any_stage(vgg16):
    """Here it lies in the last odd rows, which the poolings of the small stage leave out."""
    mask = np.zeros((90, 94))
    mask[-17:, -16:] = 1
    image, history = transfer_style(
        noise_image(90, 94), Style("poppies", region=mask), size=94, steps=2, verbose=0, vgg16=vgg16
    )
    assert history.history["size"] == [47, 94]
    assert np.isfinite(image).all()
    assert np.isfinite(history.history["total_loss"]).all()


def test_small_masks_that_round_to_other_heights_meet_at_the_size_of_the_stage(vgg16):
    """43 and 42 rows both fit the photo's 640×427 pixels; at 96 pixels they would be 64 and 63."""
    sky, ground = np.zeros((43, 64), np.uint8), np.full((42, 64), 255, np.uint8)
    sky[:20], ground[:20] = 255, 0
    styles = [Style("poppies", region=sky), Style("great_wave", region=ground)]
    image, history = transfer_style("summer_palace", styles, size=96, steps=2, verbose=0, vgg16=vgg16)
    assert image.shape == (1, 64, 96, 3)
    assert np.isfinite(history.history["total_loss"]).all()


def test_beside_one_with_a_region_a_style_without_one_counts_everywhere_by_its_share():
    """By hand, at a pixel outside of the region, half in it, and inside: 2 m / (2 m + 1) and 1 / (2 m + 1)."""
    region = tf.constant([[[[0.0], [0.5], [1.0]]]])
    styles = [Style("poppies", share=2, region=region), Style("great_wave")]
    shares = regions_of(styles)
    assert shares_of(styles) == [1.0, 1.0]
    np.testing.assert_allclose(np.ravel(shares[0]), [0, 1 / 2, 2 / 3], rtol=1e-6)
    np.testing.assert_allclose(np.ravel(shares[1]), [1, 1 / 2, 1 / 3], rtol=1e-6)
