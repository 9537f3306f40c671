"""What comes to the studio and what leaves it, as the bytes of files; on the disk it leaves nothing."""

import base64
import html
import io
import itertools
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nst_keras.pictures import fitted_shape, open_picture, shape_of, srgb_profile

MOST_BYTES = 100 * 10**6
_drawing = threading.Lock()  # Matplotlib is made for one thread at a time


class Uploads:
    """The files that were uploaded to a page; it knows them by their names, as it does the bundled pictures.

    Example:
        >>> uploads = Uploads()
        >>> uploads.take("wall.png", jpeg(np.ones((1, 2, 3, 3))))
        'wall.png'
        >>> uploads.take("wall.png", jpeg(np.zeros((1, 2, 3, 3))))  # a phone gives all its photos one name
        'wall_2.png'
    """

    def __init__(self):
        self.files, self.regions, self.opened = {}, {}, {}  # the regions are painted on the page

    def take(self, name, content):
        """Keep a file if it is a picture, and return the name by which it is known from now on.

        Raises:
            ValueError: in one sentence, if it is none or too large, or if its name cannot be told the command line.
        """
        path = Path(name)
        if len(content) > MOST_BYTES:
            size, most = len(content) / 1e6, MOST_BYTES // 10**6
            raise ValueError(f"{path.name} has {size:.0f} MB, and {most} MB are the most; make it smaller first.")
        if "," in path.name or path.name.startswith("-"):
            raise ValueError(f"{path.name} has a comma or a hyphen where the command line would misread it; rename it.")
        others = (f"{path.stem}_{number}{path.suffix}" for number in itertools.count(2))
        names, taken = itertools.chain([path.name], others), self.contents()
        name = next(name for name in names if taken.get(name, content) == content)
        open_picture(_file(name, content))
        self.files[name] = content
        return name

    def new_region(self):
        """A name for a region that is going to be painted."""
        names = (f"region_{number}.png" for number in itertools.count(1))
        name = next(name for name in names if name not in self.contents())
        self.regions[name] = b""
        return name

    def keep_region(self, name, mask):
        """Keep a region as it is now, a PIL image."""
        self.regions[name] = _bytes(mask, "PNG")

    def contents(self):
        """{name: content} of all that was uploaded or painted here."""
        return self.regions | self.files

    def source(self, name):
        """What `load_image` takes; a new file each time, because two threads may read it."""
        contents = self.contents()
        return _file(name, contents[name]) if name in contents else name

    def small(self, name, side):
        """A PIL image whose longer side has as many pixels."""
        if (name, side) not in self.opened:
            picture = open_picture(self.source(name))
            if isinstance(picture, np.ndarray):
                picture = Image.fromarray(np.uint8(255 * picture))
            shape = fitted_shape(*shape_of(picture), side)
            self.opened[name, side] = picture.resize(shape[::-1], reducing_gap=2)
        return self.opened[name, side]

    def region_links(self, settings):
        """Links, as HTML, that save the painted regions of which the settings speak."""
        names = [style.region for style in settings.styles if style.region in self.regions]
        return " ".join(link(name, self.regions[name], f"Download {name}") for name in names)

    def thumbnail(self, name, what):
        """A small picture as HTML."""
        return seen("jpeg", _bytes(self.small(name, 240), "JPEG"), f"The {what}: {name}")


def jpeg(image):
    """The image as a JPEG file, to be looked at while it is painted."""
    from nst_keras import to_pil

    return _bytes(to_pil(image), "JPEG", quality=85)


def png(image, settings, repeatable=True):
    """The image as a PNG file that carries its `Settings` as code, and says where the code alone doesn't repeat it."""
    from nst_keras import to_pil

    info = PngInfo()
    info.add_itxt("Python", settings.python())
    info.add_itxt("Command", settings.command())
    if not repeatable:
        info.add_itxt("Note", "It was stopped, or went on with other settings: the code alone doesn't repeat it.")
    return _bytes(to_pil(image), "PNG", pnginfo=info, icc_profile=srgb_profile())


def gif(images):
    """The images as a film."""
    from matplotlib.figure import Figure

    from nst_keras import plotting

    height, width = images[-1].shape[1:3]
    axes = Figure(figsize=(width / 100, height / 100), dpi=100).add_axes((0, 0, 1, 1))
    with tempfile.TemporaryDirectory() as folder, _drawing:
        path = Path(folder, "film.gif")
        plotting.save_animation(path, images, ax=axes)
        return path.read_bytes()


def curves(records):
    """The losses {name: float} of each step, drawn, as HTML."""
    from matplotlib.figure import Figure

    from nst_keras import plotting

    names = ("total_loss", "content_loss", "style_loss", "size")
    history = {name: [losses[name] for losses in records] for name in names}
    figure, file = Figure(figsize=(6, 2.6), layout="constrained"), io.BytesIO()
    with _drawing:
        plotting.plot_losses(SimpleNamespace(epoch=range(1, len(records) + 1), history=history), ax=figure.subplots())
        figure.savefig(file, format="png", dpi=80)
    return seen("png", file.getvalue(), "The losses after each step")


def seen(kind, content, alt, shape=None):
    """A picture as HTML, with a text for those who don't see it; room for a (height, width) is kept."""
    room = f' height="{shape[0]}" width="{shape[1]}"' if shape else ""
    return f'<img alt="{html.escape(alt)}"{room} src="{address(kind, content)}">'


def address(kind, content):
    """An address that holds the picture itself, for a page."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def code(settings, regions):
    """The settings as code, as HTML with buttons that copy it, and with the links to the regions that it reads."""
    parts = {"In Python": settings.python(), "In a terminal": settings.command()}
    copy = "navigator.clipboard.writeText(this.nextElementSibling.textContent); this.textContent = 'Copied'"
    button = f'<button class="jupyter-button" onclick="{copy}">Copy</button>'
    both = "".join(f"{words} {button}<pre>{html.escape(lines)}</pre>" for words, lines in parts.items())
    return both + (regions and f"It reads what you painted: {regions}")


def title(settings):
    """The names of the photo and the paintings, for files that are made of them."""
    return "_".join(Path(each).stem for each in (settings.photo, *(style.image for style in settings.styles)))[:100]


def link(name, content, words):
    """A link, as HTML, that saves a picture as a file of that name."""
    return f'<a download="{html.escape(name)}" href="{address(Path(name).suffix[1:], content)}">{words}</a>'


def _file(name, content):
    file = io.BytesIO(content)
    file.name = name  # what a message calls it
    return file


def _bytes(picture, file_format, **options):
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()
