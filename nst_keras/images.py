"""Files and colours. Everywhere else an image is a float32 tensor (1, height, width, 3), RGB, in [0, 1]."""

import io
import os
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# An installed wheel carries `data/` inside; in a checkout it stands beside the package.
_PACKAGE = Path(__file__).parent
DATA = _PACKAGE / "data" if (_PACKAGE / "data").is_dir() else _PACKAGE.parent / "data"
LARGEST_SIDE = 65535  # no JPEG is larger
LONGEST_NAME = 200  # in bytes; a file system takes 255, and names of checkpoints and unfinished files are longer
BUNDLED = {path.stem: path for kind in ("content", "style") for path in sorted((DATA / kind).glob("*.jpg"))}


def load_image(source, size=None):
    """Load a picture as the tensor that the rest of the package works on.

    Args:
        source: path of a file, name of a bundled picture ("summer_palace"), the bytes of a file, a PIL image,
            or an array or tensor of shape (h, w), (h, w, 1 or 3 or 4) or (1, h, w, 1 or 3 or 4), with integers
            (uint8: 0 to 255, uint16: 0 to 65535) or floats in [0, 1].
        size: longer side in pixels; the aspect is kept. None keeps the picture's own size.

    Returns:
        float32 tensor of shape (1, height, width, 3), RGB, values in [0, 1]. EXIF rotation is applied and
        transparency is laid on white.

    Raises:
        FileNotFoundError: if there is no such file and no bundled picture of that name.
        ValueError: if `source` cannot be read as an image, or `size` is no positive integer.

    Example:
        >>> load_image("summer_palace", size=320).shape
        TensorShape([1, 214, 320, 3])
    """
    from nst_keras._tensorflow import tf  # takes seconds; `open_picture` alone must not

    if isinstance(source, str | os.PathLike | bytes | bytearray | Image.Image):
        picture = open_picture(source)
        height, width = picture.height, picture.width
        pixels = _picture_to_array(picture, size)
    else:
        pixels = _array_to_rgb(np.asarray(source))
        height, width = pixels.shape[:2]
    image = tf.constant(pixels[None])
    return image if size is None else resize_image(image, fitted_shape(height, width, size))


def open_picture(source):
    """Open and decode a file, bytes, a bundled picture or a PIL image with Pillow, and turn it upright.

    Raises:
        FileNotFoundError, ValueError: as `load_image`, in one sentence that names the file.
    """
    name, file = "this picture", source
    if isinstance(source, bytes | bytearray):
        file = io.BytesIO(source)
    elif not isinstance(source, Image.Image):
        name = file = find_picture(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on odd metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = source if isinstance(source, Image.Image) else Image.open(file)
            picture.load()
            picture = ImageOps.exif_transpose(picture)
        if 0 in picture.size:
            raise ValueError("it has no pixels")
        if picture.mode.startswith(("I", "F")):
            _picture_to_array(picture)  # values that are out of range are noticed while the name of the file is known
        return picture
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        limit = Image.MAX_IMAGE_PIXELS / 1e6
        raise ValueError(f"{name} has more than {limit:.0f} million pixels; make it smaller first.") from None
    except UnidentifiedImageError:
        raise ValueError(f"{name} is not an image that Pillow can read; convert it to JPEG or PNG.") from None
    except MemoryError:
        raise
    except PermissionError:
        raise PermissionError(f"{name} cannot be read: its permissions forbid it.") from None
    except Exception as error:  # damaged files raise anything from SyntaxError to struct.error
        raise ValueError(f"{name} cannot be read as an image ({error}); open and save it again elsewhere.") from error


def find_picture(source):
    """The path of a picture: that of an existing file, else of the bundled picture of that name."""
    path = Path(source)
    if path.is_file():
        return path
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a picture in it.")
    if str(source) in BUNDLED:
        return BUNDLED[str(source)]
    raise FileNotFoundError(f"There is no file {source}, nor a bundled picture of that name ({', '.join(BUNDLED)}).")


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
    pixels = load_image(image)[0].numpy()
    return Image.fromarray(np.rint(pixels * 255).astype(np.uint8))


def save_image(path, image):
    """Save an image. The file appears whole or not at all, and replaces one of that name.

    Args:
        path: where to; the ending chooses the format (.png, .jpg, .webp, …).
        image: anything `load_image` takes, usually a tensor (1, height, width, 3) in [0, 1].

    Raises:
        ValueError: if Pillow cannot write the format that the ending names.
        FileNotFoundError: if the folder does not exist.

    Example:
        >>> save_image("copy.png", load_image("cat"))
    """
    file_format = check_output_path(path)
    with replacing(path) as unfinished:
        to_pil(image).save(unfinished, format=file_format, quality=95)


def check_output_path(path, animation=False):
    """Return Pillow's name of the format that `path` asks for; say what is wrong if it cannot be written there."""
    path = Path(path)
    file_format = Image.registered_extensions().get(path.suffix.lower())
    if animation and file_format != "GIF":
        raise ValueError(f"{path} cannot be written: an animation is a .gif file.")
    if not _writes_colours(file_format):
        raise ValueError(
            f"{path} cannot be written: its ending {path.suffix!r} names no image format that keeps colours and "
            "size; use .png or .jpg."
        )
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise ValueError(f"{path.name[:20]}… cannot be written: its name is too long; choose a shorter one.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}; create it first.")
    if path.is_dir():
        raise ValueError(f"{path} cannot be written: it is a folder.")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"{path} cannot be written: the folder {path.parent} is read-only.")
    return file_format


def _writes_colours(file_format):
    """Try it: Pillow knows formats that hold no colours, are too small, or of which it only knows the name."""
    shape, file = (300, 200), io.BytesIO()
    try:
        Image.new("RGB", shape).save(file, format=file_format)
        return Image.open(file).size == shape
    except Exception:  # each format has its own way to say no
        return False


@contextmanager
def replacing(path):
    """Yield a path beside `path` to write to; only when all of it is written does it take the place of `path`."""
    path = Path(path)
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def fitted_shape(height, width, size):
    """(height, width) with the longer side `size` and the same aspect, at least one pixel each."""
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise ValueError(f"size is the longer side in pixels, a whole number from 1; this is {size!r}.")
    if size > LARGEST_SIDE:
        raise ValueError(f"size is the longer side in pixels, at most {LARGEST_SIDE}; this is {size}.")
    longer = max(height, width)
    return max(1, round(height * size / longer)), max(1, round(width * size / longer))


def resize_image(image, shape):
    """Resize an image to (height, width), smoothly in both directions, without leaving [0, 1]."""
    from nst_keras._tensorflow import tf

    if tuple(image.shape[1:3]) == tuple(shape):
        return image
    return tf.clip_by_value(tf.image.resize(image, shape, method="bicubic", antialias=True), 0.0, 1.0)


def _picture_to_array(picture, size=None):
    if picture.mode.startswith(("I", "F")):  # 16 bits, 32 bits or float: Pillow's own conversion would clip at 255
        values = np.asarray(picture)
        return _array_to_rgb(values.astype(np.uint16) if _fits_uint16(values) else values)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    picture = picture.convert("RGB")
    if size is not None and max(picture.size) >= 4 * max(fitted_shape(*picture.size, size)):
        picture = picture.reduce(max(picture.size) // (2 * size))  # a large photo would take gigabytes as floats
    return _array_to_rgb(np.asarray(picture))


def _fits_uint16(values):
    return values.dtype.kind in "iu" and values.min() >= 0 and values.max() <= 65535


def _array_to_rgb(values):
    """Check an array of any accepted shape and dtype, and return it as float32 (height, width, 3) in [0, 1]."""
    shape = values.shape
    if values.ndim == 4 and shape[0] == 1:
        values = values[0]
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or values.shape[-1] not in (1, 3, 4) or values.size == 0:
        raise ValueError(
            f"An image array has the shape (height, width, 3), (1, height, width, 3) or (height, width); "
            f"this has {shape}."
        )
    if values.dtype.kind == "b" or values.dtype in (np.uint8, np.uint16):
        values = values / np.float32(1 if values.dtype.kind == "b" else np.iinfo(values.dtype).max)
    elif values.dtype.kind != "f":
        raise ValueError(f"An image array holds uint8, uint16 or floats in [0, 1]; this holds {values.dtype}.")
    low, high = values.min(), values.max()
    if not (low >= -1e-6 and high <= 1 + 1e-6):  # NaN fails every comparison
        raise ValueError(
            f"The values of a float image lie in [0, 1]; these go from {low:.4g} to {high:.4g}. "
            "Divide an image of 0 to 255 by 255, and clip or repair the rest."
        )
    values = np.clip(values, 0, 1).astype(np.float32)
    if values.shape[-1] == 4:
        alpha = values[..., 3:]
        values = values[..., :3] * alpha + (1 - alpha)
    return np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3)))
