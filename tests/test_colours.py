import numpy as np
import pytest

from nst_keras.colours import keep_colours, match_colours

YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])  # as NTSC has it


def muted(seed, shape=(1, 20, 30, 3)):
    """Colours in the middle of the cube, so that none has to be clipped."""
    return np.random.default_rng(seed).uniform(0.35, 0.65, shape)


def test_the_chroma_is_the_photos_and_the_luminance_the_pictures():
    image, photo = muted(0), muted(1)
    result, image, photo = (np.asarray(x, np.float64) @ YIQ.T for x in (keep_colours(image, photo), image, photo))
    np.testing.assert_allclose(result[..., 1:], photo[..., 1:], atol=2e-4)  # the matrix has four digits
    np.testing.assert_allclose(result[..., 0], image[..., 0], atol=1e-6)


def test_what_cannot_be_shown_is_clipped():
    red, white = (np.full((1, 2, 2, 3), colour) for colour in ([1.0, 0.0, 0.0], [1.0, 1.0, 1.0]))
    np.testing.assert_allclose(keep_colours(white, red)[0, 0, 0], [1, 0.701, 0.701], atol=1e-6)


def test_the_photo_is_brought_to_the_shape_of_the_picture():
    assert keep_colours(np.zeros((7, 10, 3)), "summer_palace").shape == (1, 7, 10, 3)


def test_a_picture_in_its_own_colours_stays_as_it_is():
    image = muted(2)
    np.testing.assert_allclose(keep_colours(image, image), image, atol=1e-6)
    np.testing.assert_allclose(match_colours(image, image), image, atol=1e-6)


def test_mean_and_covariance_become_the_photos():
    mix = np.array([[0.9, 0.1, 0.0], [0.3, 0.5, 0.2], [0.2, 0.0, 0.6]])
    painting, photo = muted(3), muted(4, (1, 31, 17, 3)) @ mix
    result = np.asarray(match_colours(painting, photo), np.float64).reshape(-1, 3)
    photo = photo.reshape(-1, 3)
    np.testing.assert_allclose(result.mean(axis=0), photo.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(np.cov(result.T, bias=True), np.cov(photo.T, bias=True), atol=1e-6)


@pytest.mark.parametrize("colour", [(0.0, 0.0, 0.0), (0.2, 0.6, 0.4)])
def test_a_painting_of_one_colour_gets_the_photos_mean_colour(colour):
    result = match_colours(np.full((1, 8, 8, 3), colour), photo := muted(5))
    np.testing.assert_allclose(result, np.broadcast_to(photo.mean(axis=(0, 1, 2)), (1, 8, 8, 3)), atol=1e-6)
    np.testing.assert_allclose(
        match_colours(photo, np.full((1, 8, 8, 3), colour)), np.full(photo.shape, colour), atol=1e-6
    )


def test_a_grey_painting_varies_along_one_line_and_its_rounding_is_not_stretched():
    random = np.random.default_rng(6)
    grey = np.repeat(random.uniform(0.3, 0.7, (1, 40, 40, 1)), 3, axis=-1)
    rounded = np.rint(255 * grey + random.uniform(-0.5, 0.5, grey.shape)) / 255
    for painting in (grey, rounded):
        colours = np.asarray(match_colours(painting, muted(7)), np.float64).reshape(-1, 3)
        deviations = np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov(colours.T)), 0))
        assert deviations[:2].max() < 1 / 255  # the other two directions
        assert deviations[2] > 0.05
        np.testing.assert_allclose(colours.mean(axis=0), muted(7).mean(axis=(0, 1, 2)), atol=1e-3)
