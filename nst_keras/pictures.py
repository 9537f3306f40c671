"""Pictures: files and Pillow, no TensorFlow. What comes in is upright, in sRGB and on white; what goes out is whole."""

import functools
import io
import os
import reprlib
import secrets
import stat
import tempfile
import threading
import warnings
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from nst_keras.ranges import WholeNumber, guess, short

# An installed wheel carries `data/` inside; in a checkout it stands beside the package.
_PACKAGE = Path(__file__).parent
DATA = _PACKAGE / "data" if (_PACKAGE / "data").is_dir() else _PACKAGE.parent / "data"
SIZE = WholeNumber(1, 65535)  # of the longer side in pixels; no JPEG is larger
LONGEST_NAME = 200  # in bytes; a file system takes 255, and names of checkpoints and unfinished files are longer
BUNDLED = {
    path.stem: path for kind in ("content", "style", "masks") for path in sorted((DATA / kind).glob("*.[jp][pn]g"))
}
# Left to itself, Pillow halves the resolution of the colours in these formats.
FULL_COLOURS = {"JPEG": {"subsampling": "4:4:4"}, "AVIF": {"subsampling": "4:4:4"}}
_quiet = threading.RLock()  # what is quiet may do quiet things itself


def open_picture(source, background=1.0):
    """Decode a picture: the one place where a source of pixels is opened.

    Args:
        source: path of a file, name of a bundled picture, the bytes of a file, an open binary file, a PIL image,
            or an array; see `load_image`.
        background: what shows through where it is transparent, from 0, black, to 1, white.

    Returns:
        A PIL image of mode RGB, upright, converted to sRGB by its colour profile, laid on the background. For
        arrays, and for files of more than 8 bits, a float32 array (height, width, 3) with values in [0, 1].

    Raises:
        FileNotFoundError, ValueError, PermissionError: in one sentence that names the file.

    Example:
        >>> open_picture("cat").size
        (451, 300)
    """
    if isinstance(source, io.TextIOBase):
        raise ValueError(f"{name_of(source)} is open as text; open it with the mode 'rb'.")
    if isinstance(source, bytes | bytearray | memoryview):
        return _decode(io.BytesIO(source), "this picture", background)
    if isinstance(source, Image.Image) or hasattr(source, "read"):
        return _decode(source, name_of(source), background)
    if isinstance(source, str | os.PathLike):
        path = find_picture(source)
        # A pipe can be read only once and from the start, so Pillow cannot look into it and then begin again.
        return _decode(io.BytesIO(path.read_bytes()) if path.is_fifo() else path, path, background)
    try:
        values = np.asarray(source)
    except ValueError:  # lists of different lengths, or (image, history) as transfer_style returns it
        values = np.array(None)
    if values.dtype.kind in "OSU":
        raise ValueError(f"A picture is a file, the name of a bundled one, or an array, not {reprlib.repr(source)}.")
    return _checked_pixels(values, background)


def shape_of(picture):
    """(height, width) of what `open_picture` returns."""
    return picture.shape[:2] if isinstance(picture, np.ndarray) else picture.size[::-1]


def pixels_of(picture, size=None):
    """What `open_picture` returns as a float32 array (height, width, 3), still at least twice as large as `size`."""
    if isinstance(picture, np.ndarray):
        return picture
    if size is not None and max(picture.size) >= 4 * max(fitted_shape(*picture.size, size)):
        picture = picture.reduce(max(picture.size) // (2 * size))  # a large photo would take gigabytes as floats
    return _checked_pixels(np.asarray(picture))


def name_of(source, otherwise="this picture"):
    """What a message calls a source of pixels: a path or a file by its name, anything else as it is told."""
    name = source if isinstance(source, str | os.PathLike) else getattr(source, "name", None)
    return os.fspath(name) if isinstance(name, str | os.PathLike) else otherwise


def find_picture(source):
    """The path of a picture: that of an existing file (~ is the home folder), else of the bundled one of that name."""
    path = Path(os.path.expanduser(source))
    if not os.fspath(source):
        raise ValueError("The name of a picture is empty; name a file, or a bundled picture.")
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except PermissionError:
        raise
    except (OSError, ValueError):  # there is no such file, or no file can have this name
        kind = None
    if kind in (stat.S_IFREG, stat.S_IFIFO):
        return path
    if kind == stat.S_IFDIR:
        raise ValueError(f"{path} is a folder; name a picture in it.")
    if kind:
        raise ValueError(f"{path} is a device; name a file.")
    if str(source) in BUNDLED:
        return BUNDLED[str(source)]
    raise FileNotFoundError(
        f"There is no file {short(os.fspath(source))}, nor a bundled picture of that name ({', '.join(BUNDLED)})."
        + guess(str(source), BUNDLED)
    )


def fitted_shape(height, width, size):
    """(height, width) with the longer side `size` and the same aspect, at least one pixel each."""
    if size not in SIZE:
        raise ValueError(f"size is the longer side in pixels, {SIZE}; this is {size!r}.")
    longer = max(height, width)
    return max(1, round(height * size / longer)), max(1, round(width * size / longer))


def check_output_path(path, animation=False):
    """Return Pillow's name of the format that `path` asks for; say what is wrong if it cannot be written there."""
    if not isinstance(path, str | os.PathLike):
        kind = type(path).__name__
        raise ValueError(f"The place to save is a path, not {kind}; it comes first, and then what we save there.")
    path = Path(os.path.expanduser(path))
    file_format = Image.registered_extensions().get(path.suffix.lower())
    if animation and file_format != "GIF":
        raise ValueError(f"{path} cannot be written: an animation is a .gif file.")
    if not _writes_colours(file_format):
        raise ValueError(
            f"{path} cannot be written: its ending {path.suffix!r} names no image format that keeps colours and "
            "size; use .png or .jpg."
        )
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise ValueError(f"{short(path.name, 20)} cannot be written: its name is too long; choose a shorter one.")
    if not os.path.isdir(path.parent):  # Path.is_dir raises an error where a name is too long
        raise FileNotFoundError(
            f"{path.name} cannot be written: there is no folder {short(str(path.parent))}; create it first."
        )
    if path.is_dir():
        raise ValueError(f"{path} cannot be written: it is a folder.")
    try:
        tempfile.TemporaryFile(dir=path.parent).close()  # what permissions allow, only trying tells on every system
    except OSError as error:
        raise PermissionError(
            f"{path} cannot be written: the folder {path.parent} takes no new file ({error.strerror})."
        ) from None
    return file_format


@contextmanager
def replacing(path):
    """Yield a path beside `path` to write to; only when all of it is written does it take the place of `path`."""
    path = Path(os.path.expanduser(path))
    unfinished = path.with_name(f".{path.stem}.{secrets.token_hex(8)}.part{path.suffix}")  # threads may share `path`
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def without_warnings():
    """Let a library do its work without its remarks."""
    # The filters belong to the whole process: two threads in here at once would leave those of one behind for good.
    with _quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@functools.cache
def srgb_profile():
    """The colour profile that saved files carry, so that every program shows the same colours."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    date = slice(24, 36)  # when it was made; a fixed one, so that equal pictures are equal files
    return profile[: date.start] + bytes([7, 208, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]) + profile[date.stop :]


def _decode(file, name, background):
    try:
        with without_warnings():  # remarks on odd metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if hasattr(file, "read"):
                with suppress(AttributeError, OSError):  # a pipe does not go back to its start
                    file.seek(0)
                file = io.BytesIO(file.read())
            with nullcontext(file) if isinstance(file, Image.Image) else Image.open(file) as picture:
                picture.load()
            if picture.getexif().get(ExifTags.Base.Orientation, 1) != 1:
                picture = ImageOps.exif_transpose(picture)
        if 0 in picture.size:
            raise ValueError("it has no pixels")
        if picture.mode.startswith(("I", "F")):  # 16 bits, 32 bits or float: Pillow's own conversion clips at 255
            values = np.asarray(picture)
        else:
            return _laid_on(_to_srgb(picture), background)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        limit = Image.MAX_IMAGE_PIXELS / 1e6
        raise ValueError(f"{name} has more than {limit:.0f} million pixels; make it smaller first.") from None
    except UnidentifiedImageError:
        if not (file.getbuffer().nbytes if isinstance(file, io.BytesIO) else file.stat().st_size):
            raise ValueError(f"{name} is empty; it holds no picture.") from None
        raise ValueError(f"{name} is not an image that Pillow can read; convert it to JPEG or PNG.") from None
    except MemoryError:
        raise
    except PermissionError:
        raise PermissionError(f"{name} cannot be read: its permissions forbid it.") from None
    except Exception as error:  # damaged files raise anything from SyntaxError to struct.error
        raise ValueError(f"{name} cannot be read as an image ({error}); re-save it in another program.") from error
    try:
        return _checked_pixels(values.astype(np.uint16) if _fits_uint16(values) else values, background)
    except ValueError as error:
        raise ValueError(f"{name} cannot be used as a picture. {error}") from None


def _laid_on(picture, background):
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        grey = round(255 * background)
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, (grey, grey, grey)), picture)
    return picture.convert("RGB")


def _to_srgb(picture):
    """Convert the colours by the profile that the file carries; a damaged or unfitting profile is ignored."""
    data = picture.info.get("icc_profile")
    if not data:
        return picture
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        space = profile.profile.xcolor_space.strip()
        see_through = picture.has_transparency_data
        if space == "RGB" and picture.mode != "CMYK":
            picture = picture.convert("RGBA" if see_through else "RGB")
        elif space == "GRAY" and picture.mode in ("1", "L", "LA") and not see_through:
            picture = picture.convert("L")
        elif space != picture.mode:
            return picture
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(picture, profile, srgb, outputMode="RGBA" if see_through else "RGB")
        converted.info.pop("icc_profile", None)
        return converted
    except (ImageCms.PyCMSError, OSError):
        return picture


def _writes_colours(file_format):
    """Try it: Pillow knows formats that hold no colours, are too small, or of which it only knows the name."""
    shape, file = (300, 200), io.BytesIO()
    try:
        Image.new("RGB", shape).save(file, format=file_format)
        return Image.open(file).size == shape
    except Exception:  # each format has its own way to say no
        return False


def _fits_uint16(values):
    return values.dtype.kind in "iu" and values.min() >= 0 and values.max() <= 65535


def _checked_pixels(values, background=1.0):
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
        values = values[..., :3] * alpha + background * (1 - alpha)
    return np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3)))
