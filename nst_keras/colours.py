"""Colours: how to keep those of the photo. From picture to picture, before a run or after it.

Gatys, Bethge, Hertzmann and Shechtman, "Preserving Color in Neural Artistic Style Transfer" (2016, arXiv 1606.05897).
"""

import numpy as np

from nst_keras._tensorflow import tf
from nst_keras.images import load_image, resize_image

LUMINANCE = (0.299, 0.587, 0.114)  # Y of YIQ, in the values of sRGB, as in the article
# Colours that vary less than by a grey level vary by rounding or compression alone: stretched, that would be noise.
LEAST_VARIANCE = (1 / 255) ** 2


def keep_colours(image, content):
    """The luminance of one picture with the colours of another: a stylised picture in the colours of the photo.

    Args:
        image: the stylised picture, anything `load_image` takes.
        content: the photo; it is brought to the shape of `image`.

    Returns:
        float32 tensor of shape (1, height, width, 3), values in [0, 1]. Its chroma, I and Q of YIQ, is the photo's,
        as in the article's luminance-only transfer. Not every luminance can have every chroma: where a channel would
        leave [0, 1] it is clipped, and there the colour is another one, usually paler.

    Example:
        >>> image, history = transfer_style("summer_palace", "great_wave", size=64, steps=2, verbose=0)
        >>> keep_colours(image, "summer_palace").shape
        TensorShape([1, 43, 64, 3])
    """
    image = load_image(image)
    photo = resize_image(load_image(content, max(image.shape[1:3])), image.shape[1:3])
    # A grey step moves Y alone: in YIQ, I and Q of every grey are 0.
    grey = tf.tensordot(image - photo, tf.constant(LUMINANCE), axes=1)[..., None]
    return tf.clip_by_value(photo + grey, 0.0, 1.0)


def match_colours(style, content):
    """A painting recoloured to the mean and covariance of the photo's colours, before the run.

    Args:
        style: the painting, anything `load_image` takes.
        content: the photo, anything `load_image` takes.

    Returns:
        float32 tensor of the painting's shape, (1, height, width, 3), values in [0, 1]: Σ_c^½ Σ_s^−½ (x − μ_s) + μ_c,
        one of the article's linear maps. What leaves [0, 1] is clipped, so then mean and covariance are met only
        about. A grey painting, or one of a single colour, has directions in which nothing varies; they stay so.

    Example:
        >>> match_colours("great_wave", "summer_palace").shape
        TensorShape([1, 443, 659, 3])
    """
    painting, photo = load_image(style).numpy(), load_image(content).numpy()
    (mean, _, inverse), (photo_mean, photo_root, _) = _colours_of(painting), _colours_of(photo)
    matched = (painting - mean) @ (photo_root @ inverse).T + photo_mean
    return tf.constant(np.clip(matched, 0, 1), tf.float32)


def _colours_of(image):
    """The mean of the colours, the root of their covariance, and its inverse where they vary at all."""
    colours = image.reshape(-1, 3).astype(np.float64)
    variances, axes = np.linalg.eigh(np.cov(colours.T, bias=True))
    varies = variances > LEAST_VARIANCE
    roots = np.sqrt(np.where(varies, variances, 0))
    inverses = np.divide(1, roots, where=varies, out=np.zeros(3))
    return colours.mean(axis=0), (axes * roots) @ axes.T, (axes * inverses) @ axes.T
