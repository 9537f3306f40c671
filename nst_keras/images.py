"""Images as tensors: float32, shape (1, height, width, 3), RGB, values in [0, 1]."""

import numpy as np
from PIL import Image

from nst_keras._tensorflow import tf
from nst_keras.pictures import (
    FULL_COLOURS,
    check_output_path,
    fitted_shape,
    open_picture,
    pixels_of,
    replacing,
    shape_of,
    srgb_profile,
)


def load_image(source, size=None):
    """Load a picture as the tensor that the rest of the package works on.

    Args:
        source: path of a file (~ is the home folder), name of a bundled picture ("summer_palace"), the bytes of a
            file, an open binary file, a PIL image, or an array or tensor of shape (h, w), (h, w, 1 or 3 or 4) or
            (1, h, w, 1 or 3 or 4), with integers (uint8: 0 to 255, uint16: 0 to 65535) or floats in [0, 1].
        size: longer side in pixels; the aspect is kept. None keeps the picture's own size.

    Returns:
        float32 tensor of shape (1, height, width, 3), RGB, values in [0, 1]. EXIF rotation is applied, colours are
        converted to sRGB where the file has a colour profile, and transparency is laid on white.

    Raises:
        FileNotFoundError: if there is no such file and no bundled picture of that name.
        ValueError: if `source` cannot be read as an image, or `size` is no positive integer.

    Example:
        >>> load_image("summer_palace", size=320).shape
        TensorShape([1, 214, 320, 3])
    """
    return image_of(open_picture(source), size)


def image_of(picture, size=None):
    """The image of a picture that `open_picture` has decoded; `size` as in `load_image`."""
    image = tf.constant(pixels_of(picture, size)[None])
    return image if size is None else resize_image(image, fitted_shape(*shape_of(picture), size))


def noise_image(height, width, seed=0, contrast=1.0):
    """Uniform random noise, what the generated image starts from.

    Args:
        height, width: in pixels.
        seed: the same seed gives the same noise, on every machine.
        contrast: 1 for values from 0 to 1; less for fainter noise round mid-grey, 0.5.

    Returns:
        float32 tensor of shape (1, height, width, 3), values in [0, 1].

    Example:
        >>> noise_image(2, 3).shape
        TensorShape([1, 2, 3, 3])
    """
    noise = np.random.default_rng(seed).random((1, height, width, 3), np.float32)
    return tf.constant(0.5 + contrast * (noise - 0.5))


def resize_image(image, shape):
    """Resize an image to (height, width), smoothly in both directions, without leaving [0, 1].

    Example:
        >>> resize_image(noise_image(20, 30), (40, 60)).shape
        TensorShape([1, 40, 60, 3])
    """
    if tuple(image.shape[1:3]) == tuple(shape):
        return image
    return tf.clip_by_value(tf.image.resize(image, shape, method="bicubic", antialias=True), 0.0, 1.0)


def to_pil(image):
    """Turn an image into a PIL image, for display in a notebook or for work with Pillow.

    Args:
        image: anything `load_image` takes, usually a tensor (1, height, width, 3) in [0, 1].

    Returns:
        PIL image of mode RGB.

    Example:
        >>> to_pil(np.ones((1, 2, 3, 3))).size
        (3, 2)
    """
    picture = open_picture(image)
    if isinstance(picture, Image.Image):
        return picture
    return Image.fromarray(np.rint(picture * 255).astype(np.uint8))


def save_image(path, image):
    """Save an image in sRGB. The file appears whole or not at all, and replaces one of that name.

    Args:
        path: where to; the ending chooses the format (.png, .jpg, .webp, …), ~ is the home folder.
        image: anything `load_image` takes, usually a tensor (1, height, width, 3) in [0, 1].

    Raises:
        ValueError: if Pillow cannot write the format that the ending names.
        FileNotFoundError: if the folder does not exist.

    Example:
        >>> save_image("copy.png", load_image("cat"))
    """
    file_format = check_output_path(path)
    options = FULL_COLOURS.get(file_format, {})
    with replacing(path) as unfinished:
        to_pil(image).save(unfinished, format=file_format, quality=95, icc_profile=srgb_profile(), **options)
