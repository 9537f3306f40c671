"""The studio: choose, paint, stop, turn β, go on, take the picture home. A page of widgets over `transfer_style`.

In a notebook it is the output of a cell; `make studio` serves notebooks/studio.ipynb as a page of its own. The page's
thread only answers clicks, a second one paints; all that a page knows is in its `Studio`, so two never meet.
"""

import base64
import html
import importlib
import io
import itertools
import json
import shlex
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import SimpleNamespace

import ipywidgets as widgets
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tqdm import tqdm

from nst_keras.__main__ import STYLE_OPTIONS, film_into
from nst_keras.pictures import BUNDLED, fitted_shape, open_picture, pixels_of, shape_of, srgb_profile
from nst_keras.progress import work
from nst_keras.recipe import Recipe, plan_stages, remaining_stages
from nst_keras.styles import SCALE, SHARE, Style

MOST_BYTES = 100 * 10**6  # of an uploaded file
MOST_PAINTINGS = 4
SECONDS_BETWEEN_PICTURES, SECONDS_BETWEEN_CURVES = 0.2, 2.0
LOWEST_BETA, HIGHEST_BETA = -2, 1  # powers of ten: below, a photo; above, only strokes
COLOURS = {"as in the painting": None, "kept from the photo": "keep_colours", "matched to the photo": "match_colours"}
ENDS = {
    "diverged": "The losses grew without end; this is the picture before. Choose a smaller β.",
    "out of memory": "The memory ran out; this is the picture so far. Choose a smaller size.",
}
_drawing = threading.Lock()  # Matplotlib is made for one thread at a time
STYLE_SHEET = """<style>
.studio { flex-flow: row wrap; align-items: flex-start; gap: 1.5rem; max-width: 75rem; margin: auto; }
.studio > * { flex: 1 1 18rem; min-width: 0; overflow: visible; }
.studio > :last-child { flex-grow: 2; }
.studio .row { flex-flow: row wrap; align-items: center; overflow: visible; }
.studio .row > * { max-width: 100%; }
.studio .picture { width: auto; max-width: 100%; height: auto; min-width: min(100%, 20rem); object-fit: contain; }
.studio .curves { width: auto; max-width: 100%; height: auto; background: white; }
.studio .thumbnail img { height: 3.5rem; max-width: 5.5rem; object-fit: cover; border-radius: 3px; display: block; }
.studio .painting { border-left: 3px solid var(--jp-border-color1); padding-left: 0.6rem; }
.studio .widget-html-content { line-height: 1.4; white-space: normal; overflow-wrap: anywhere; }
.studio pre { white-space: pre-wrap; user-select: all; padding: 0.6rem; background: var(--jp-layout-color2); }
.studio h3 { margin: 0.8rem 0 0.2rem; font-size: 1.05rem; }
.studio a { color: var(--jp-content-link-color); }
</style>"""


@dataclass(frozen=True)
class Settings:
    """What a page is set to: the pictures by their names, and a recipe.

    Example:
        >>> settings = Settings("cat", [Style("poppies")], Recipe(size=96), "keep_colours")
        >>> settings.command()
        'nst-keras cat poppies --size 96 --keep-colours'
        >>> print(settings.python())
        from nst_keras import keep_colours, save_image, transfer_style
        <BLANKLINE>
        image, history = transfer_style("cat", "poppies", size=96)
        image = keep_colours(image, "cat")
        save_image("stylised.png", image)
    """

    photo: str
    styles: list
    recipe: Recipe
    colours: str | None = None

    def python(self):
        """The call that paints the same."""
        photo = _quoted(self.photo)

        def painting(style):
            image = _quoted(style.image)
            if self.colours == "match_colours":
                image = f"match_colours({image}, {photo})"
            knobs = _turned(style, Style(style.image))
            return f"Style({', '.join([image, *_keywords(knobs)])})" if knobs else image

        paintings = [painting(style) for style in self.styles]
        styles = paintings[0] if len(paintings) == 1 else f"[{', '.join(paintings)}]"
        arguments = [photo, styles, *_keywords(_turned(self.recipe, Recipe()))]
        call = f"image, history = transfer_style({', '.join(arguments)})"
        if len(call) > 80:
            call = "image, history = transfer_style(" + "".join(f"\n    {each}," for each in arguments) + "\n)"
        keep = [f"image = keep_colours(image, {photo})"] * (self.colours == "keep_colours")
        code = "\n".join([call, *keep, 'save_image("stylised.png", image)'])
        names = ("Style", "keep_colours", "match_colours", "save_image", "transfer_style")
        return f"from nst_keras import {', '.join(name for name in names if name + '(' in code)}\n\n{code}"

    def command(self):
        """The command line that paints the same."""
        parts = ["nst-keras", self.photo, *(style.image for style in self.styles)]
        for option, (knob, *_) in STYLE_OPTIONS.items():
            if any(knob in _turned(style, Style(style.image)) for style in self.styles):
                values = [getattr(style, knob) for style in self.styles]
                parts += [option, ",".join("-" if value is None else str(value) for value in values)]
        for name, value in _turned(self.recipe, Recipe()).items():
            parts += ["--" + name.replace("_", "-"), str(value)]
        if self.colours:
            parts.append("--" + self.colours.replace("_", "-"))
        return shlex.join(parts)


def studio():
    """Show the studio below the cell of a notebook; every call makes a new one, with nothing in common with others.

    Returns:
        The page, an ipywidgets box, which a notebook shows where it is the last line of a cell.

    Example:
        >>> page = studio()
    """
    threading.Thread(target=importlib.import_module, args=("nst_keras.training",), daemon=True).start()  # takes seconds
    return Studio().page


class Studio:
    """One page: its widgets, the files that were uploaded to it, and its run."""

    def __init__(self):
        self.uploads, self.thumbnails = {}, {}
        self.asked_to_stop = threading.Event()
        self.thread = self.latest = None
        self.make_widgets()
        self.add_painting()
        self.show_code()

    # What is on the page.

    def make_widgets(self):
        """The widgets, and what a click on them does."""

        def number(knob, kind=widgets.BoundedIntText, **options):
            [field] = [field for field in fields(Recipe) if field.name == knob]
            allowed, help = field.metadata["allowed"], field.metadata["help"]
            bounds = {"min": allowed.lowest, "max": allowed.highest, "value": field.default, "tooltip": help}
            return self.watched(kind(**(bounds | {"description": knob, "layout": _wide("11rem")} | options)))

        beta = {"min": LOWEST_BETA, "max": HIGHEST_BETA, "step": 0.05, "readout_format": ".2g", "description": "β"}
        beta |= {"continuous_update": False, "layout": _wide("15rem"), "style": {"description_width": "1rem"}}
        self.beta = number("style_weight", widgets.FloatLogSlider, **beta)
        self.size, self.steps = number("size", step=16), number("steps")
        self.colours = self.watched(_dropdown(COLOURS, "colours"))
        self.photo, photo = self.chooser("content", "photo")
        self.photo_end, self.painting_end = _thumbnail(), _thumbnail()
        self.paintings, self.painting_box = [], widgets.VBox()
        self.add = _button("Add a painting", self.add_painting)
        self.paint = _button("Paint", self.start, button_style="primary")
        self.stop = _button("Stop", self.asked_to_stop.set, disabled=True)
        self.go_on = _button("Go on", lambda: self.start(going_on=True), disabled=True)
        self.make_film = _button("Make a film", self.film_in_background, disabled=True)
        self.message, self.download, self.film_link, self.code = (widgets.HTML() for _ in range(4))
        self.bar = widgets.FloatProgress(min=0, max=1, layout=_wide("20rem"))
        self.picture = widgets.Image(format="jpeg", tooltip="The picture that is being painted")
        self.curves = widgets.Image(format="png", tooltip="The losses over the steps: total, content and style")
        for image, name in ((self.picture, "picture"), (self.curves, "curves")):
            image.add_class(name)
            image.layout.display = "none"  # until there is one
        code = widgets.Accordion([self.code], titles=["Copy as code"])
        left = [_heading("Photo"), photo, _heading("Paintings"), self.painting_box, self.add]
        left += [_heading("How much of the painting"), _row(self.photo_end, self.beta, self.painting_end)]
        left += [_row(self.size, self.steps), self.colours]
        right = [_row(self.paint, self.stop, self.go_on), self.message, self.bar, self.picture]
        right += [_row(self.download, self.make_film, self.film_link), self.curves, code]
        columns = widgets.Box([widgets.VBox(left), widgets.VBox(right)])
        columns.add_class("studio")
        self.page = widgets.VBox([widgets.HTML(STYLE_SHEET), columns])

    def watched(self, widget):
        """The widget, whose changes show in the code."""
        widget.observe(self.show_code, "value")
        return widget

    def chooser(self, kind, what, **first):
        """A dropdown of the bundled pictures of a kind, and beside it a button that uploads another."""
        names = {name: name for name, path in BUNDLED.items() if path.parent.name == kind}
        dropdown, thumbnail = self.watched(_dropdown(first | names, what)), _thumbnail()
        upload = widgets.FileUpload(accept="image/*", description="Upload", layout=_wide("7rem"))

        def take(change):
            for file in change["new"]:
                with self.answering():
                    name = self.take_file(file["name"], bytes(file["content"]))
                    dropdown.options = {**dict(dropdown.options), name: name}
                    dropdown.value = name
                    self.say(f"{name} is uploaded.")
            upload.value = ()  # so that the same file can come again

        def look(_=None):
            thumbnail.value = self.small_picture(dropdown.value, what) if dropdown.value else ""

        upload.observe(take, "value")
        dropdown.observe(look, "value")
        look()
        return dropdown, _row(thumbnail, dropdown, upload)

    def take_file(self, name, content):
        """Keep an uploaded file if it is a picture, and return the name by which it is known here."""
        if len(content) > MOST_BYTES:
            size, most = len(content) / 1e6, MOST_BYTES // 10**6
            raise ValueError(f"{name} has {size:.0f} MB, and {most} MB are the most; make it smaller first.")
        path = Path(name)
        if "," in path.name or path.name.startswith("-"):
            raise ValueError(f"{name}: a name with a comma, or a hyphen in front, cannot be typed as code; rename it.")
        tries = itertools.chain([path.name], (f"{path.stem}_{number}{path.suffix}" for number in itertools.count(2)))
        name = next(name for name in tries if self.uploads.get(name, content) == content)
        open_picture(_file(name, content))
        self.uploads[name] = content
        return name

    def source(self, name):
        """What `load_image` takes, of a name on the page; a new file each time, for two threads may read it."""
        return _file(name, self.uploads[name]) if name in self.uploads else name

    def small_picture(self, name, what):
        """The picture as HTML, small."""
        if name not in self.thumbnails:
            picture = open_picture(self.source(name))
            if isinstance(picture, np.ndarray):
                picture = Image.fromarray(np.uint8(255 * picture))
            picture.thumbnail((240, 120))
            self.thumbnails[name] = _address("jpeg", _bytes(picture, "JPEG"))
        return f'<img alt="{html.escape(f"The {what}: {name}")}" src="{self.thumbnails[name]}">'

    def add_painting(self):
        """One more painting, with its share, the size of its strokes and its region."""
        if len(self.paintings) == MOST_PAINTINGS:
            return self.say(f"{MOST_PAINTINGS} paintings are the most; take one away first.")

        def number(name, allowed, tooltip):
            box = {"min": allowed.lowest, "max": allowed.highest, "step": 0.5, "layout": _wide("8.5rem")}
            return self.watched(widgets.BoundedFloatText(1.0, description=name, tooltip=tooltip, **box))

        image, chooser = self.chooser("style", "painting")
        share = number("share", SHARE, "how much of this painting, beside the shares of the others")
        scale = number("strokes", SCALE, "2: strokes twice as large")
        region, mask = self.chooser("masks", "region", everywhere=None)
        painting = {"image": image, "share": share, "scale": scale, "region": region}
        remove = _button("Take away", lambda: self.remove_painting(painting), layout=_wide("7rem"))
        painting["box"] = widgets.VBox([chooser, _row(share, scale), mask, remove])
        painting["box"].add_class("painting")
        self.paintings.append(painting)
        free = [name for name in dict(image.options) if name not in [one["image"].value for one in self.paintings[:-1]]]
        image.value = "great_wave" if "great_wave" in free else free[0]
        self.show_paintings()

    def remove_painting(self, painting):
        """Take a painting away; one is always left."""
        if len(self.paintings) == 1:
            return self.say("One painting is needed; choose another one in its place.")
        self.paintings.remove(painting)
        self.show_paintings()

    def show_paintings(self):
        self.painting_box.children = [painting["box"] for painting in self.paintings]
        self.show_code()

    def say(self, text):
        """Answer in a sentence."""
        self.message.value = html.escape(text)

    @contextmanager
    def answering(self):
        """Say what was wrong with what we were given."""
        try:
            yield
        except MemoryError as error:
            self.say(str(error) or "There is not enough memory; choose a smaller size.")
        except (OSError, ValueError) as error:
            self.say(str(error))

    # What it is set to.

    def style_weight(self):
        """β, with as many digits as the slider shows."""
        return float(f"{self.beta.value:.2g}")

    def settings(self):
        """The `Settings` of this moment."""
        styles = [
            Style(one["image"].value, one["share"].value, one["scale"].value, one["region"].value)
            for one in self.paintings
        ]
        plain = [style.image for style in styles if style.region is None]
        if again := [name for name in plain if plain.count(name) > 1]:
            raise ValueError(f"The painting {again[0]} is chosen twice; choose it once, with a larger share.")
        recipe = Recipe(size=self.size.value, style_weight=self.style_weight(), steps=self.steps.value)
        return Settings(self.photo.value, styles, recipe, self.colours.value)

    def show_code(self, _=None):
        """Show the settings as code, and the pictures at the ends of the slider."""
        if self.paintings:
            with self.answering():
                settings = self.settings()
                parts = (("In Python", settings.python()), ("In a terminal", settings.command()))
                self.code.value = "".join(f"{title}:<pre>{html.escape(code)}</pre>" for title, code in parts)
                self.photo_end.value = self.small_picture(settings.photo, "photo")
                self.painting_end.value = self.small_picture(settings.styles[0].image, "painting")

    # The run.

    def start(self, going_on=False):
        """Paint, in a thread: a new picture, or on from the one at hand."""
        if self.thread and self.thread.is_alive():  # a second click came before the button was grey
            return
        with self.answering():
            settings = self.settings()
            if going_on and settings.photo != self.painted.photo:
                raise ValueError(f"The picture at hand is of {self.painted.photo}; press Paint to begin a new one.")
            if not going_on:
                self.latest, self.frames, self.records = None, [], []
            self.asked_to_stop.clear()
            self.allow(painting=True)
            self.say("Getting ready …")
            self.thread = threading.Thread(target=self.run, args=(settings,), daemon=True)
            self.thread.start()

    def run(self, settings):
        """What the thread does."""
        try:
            with self.answering():
                self.paint_picture(settings)
        except Exception as error:  # a thread that ends without a word would leave the page waiting
            self.say(f"Something went wrong that should not have: {error!r}")
        finally:
            self.allow(painting=False)

    def allow(self, painting):
        """Which buttons can be pressed."""
        self.paint.disabled, self.stop.disabled = painting, not painting
        self.go_on.disabled = self.make_film.disabled = painting or self.latest is None

    def paint_picture(self, settings):
        """Paint until the steps are done or Stop is pressed; when β is turned, go on with the picture at hand."""
        from nst_keras import colours, transfer_style

        photo, size = open_picture(self.source(settings.photo)), settings.recipe.size
        styles = [replace(one, image=self.source(one.image), region=self.source(one.region)) for one in settings.styles]
        self.finished = lambda image: image
        if settings.colours == "keep_colours":
            pixels = pixels_of(photo, size)  # of a large photo enough, and quicker
            self.finished = lambda image: colours.keep_colours(image, pixels)
        if settings.colours == "match_colours":
            styles = [replace(style, image=colours.match_colours(style.image, photo)) for style in styles]
        if not self.frames:
            self.film = film_into(self.frames, lambda image: self.finished(image))
        plan = plan_stages(*fitted_shape(*shape_of(photo), size), settings.recipe.steps)
        while True:
            self.painted, recipe, done = settings, settings.recipe, 0
            if self.latest:
                done, image = self.latest
                if done >= recipe.steps:  # it was finished: paint once more at full size
                    done = recipe.steps - plan[-1][2]
                recipe = replace(recipe, init=image)
            watch = self.watch(recipe, remaining_stages(plan, done))
            image, history = transfer_style(
                photo, styles, recipe=recipe, initial_step=done, callbacks=[self.film, watch], verbose=0
            )
            turned = replace(settings.recipe, style_weight=self.style_weight())
            if turned == settings.recipe or self.asked_to_stop.is_set():
                break
            settings = replace(settings, recipe=turned)
        self.image = self.finished(image)
        self.show(self.image)
        self.show_curves()
        self.download.value = self.link("png", self.png(), "Download the picture")
        stopped = f"Stopped after step {self.latest[0]}. Go on paints the rest, with another β if you like."
        done = f"Done: {self.latest[0]} steps. Go on paints the last size once more, with another β if you like."
        self.say(ENDS.get(history.params["stopped"]) or (done if history.params["stopped"] is None else stopped))

    def watch(self, recipe, stages):
        """A callback that shows how far the run is, and ends it where the page asks for it."""
        from nst_keras import StopTransfer

        total, painted, start = sum(steps * work(height, width) for height, width, steps in stages), 0, None
        next_picture = next_curves = 0.0
        self.picture.layout.width = f"{max(320, stages[-1][1])}px"

        def callback(step, losses, image):
            nonlocal painted, start, next_picture, next_curves
            self.latest = step, image
            height, width = image.shape[1:3]
            self.records.append(losses | {"size": max(height, width)})
            now, painted = time.monotonic(), painted + work(height, width)
            start = start or (now, painted)  # the first step takes longer: TensorFlow prepares the others
            if now >= next_picture:
                next_picture = now + SECONDS_BETWEEN_PICTURES
                self.show(self.finished(image))
                pace = (now - start[0]) / max(1, painted - start[1])
                left = f", {tqdm.format_interval((total - painted) * pace)} left" if pace else ""
                self.say(f"Step {step} of {recipe.steps}, {width}×{height} pixels{left}")
                self.bar.value = painted / total
            if now >= next_curves:
                self.show_curves()
                next_curves = time.monotonic() + SECONDS_BETWEEN_CURVES
            if self.asked_to_stop.is_set() or self.style_weight() != recipe.style_weight:
                raise StopTransfer

        return callback

    # What comes out.

    def show(self, image):
        """Show the picture so far."""
        from nst_keras import to_pil

        self.picture.value = _bytes(to_pil(image), "JPEG", quality=85)
        self.picture.layout.display = None

    def show_curves(self):
        """Draw the losses so far."""
        from matplotlib.figure import Figure

        from nst_keras.plotting import plot_losses

        names = ("total_loss", "content_loss", "style_loss", "size")
        history = {name: [losses[name] for losses in self.records] for name in names}
        buffer, figure = io.BytesIO(), Figure(figsize=(6, 2.6), layout="constrained")
        with _drawing:
            plot_losses(SimpleNamespace(epoch=range(1, len(self.records) + 1), history=history), ax=figure.subplots())
            figure.savefig(buffer, format="png", dpi=80)
        self.curves.value = buffer.getvalue()
        self.curves.layout.display = None

    def png(self):
        """The picture as a PNG file that carries its settings."""
        from nst_keras import to_pil

        info = PngInfo()
        info.add_itxt("Command", self.painted.command())
        info.add_itxt("Python", self.painted.python())
        return _bytes(to_pil(self.image), "PNG", pnginfo=info, icc_profile=srgb_profile())

    def film_in_background(self):
        """Make the film, which takes seconds, in a thread."""
        self.allow(painting=True)
        self.stop.disabled = True
        self.say("Making the film …")
        self.thread = threading.Thread(target=self.save_film, daemon=True)
        self.thread.start()

    def save_film(self):
        """What that thread does."""
        from matplotlib.figure import Figure

        from nst_keras.plotting import save_animation

        try:
            with self.answering(), tempfile.TemporaryDirectory() as folder, _drawing:
                height, width = self.image.shape[1:3]
                ax = Figure(figsize=(width / 100, height / 100), dpi=100).add_axes((0, 0, 1, 1))
                save_animation(Path(folder, "film.gif"), [*self.frames, self.image], ax=ax)
                self.film_link.value = self.link("gif", Path(folder, "film.gif").read_bytes(), "Download the film")
                self.say("The film is ready.")
        finally:
            self.allow(painting=False)

    def link(self, kind, content, words):
        """A link that saves a file."""
        name = "_".join(Path(each).stem for each in (self.painted.photo, self.painted.styles[0].image))
        return f'<a download="{html.escape(name)}.{kind}" href="{_address(kind, content)}">{words}</a>'


def _turned(thing, plain):
    """The fields of a `Style` or a `Recipe` in which it differs from a plain one."""
    values = {field.name: getattr(thing, field.name) for field in fields(plain)}
    return {name: value for name, value in values.items() if value != getattr(plain, name)}


def _quoted(value):
    return json.dumps(value, ensure_ascii=False)  # a string in double quotes, a number as it is


def _keywords(knobs):
    return [f"{name}={_quoted(value)}" for name, value in knobs.items()]


def _file(name, content):
    file = io.BytesIO(content)
    file.name = name  # what a message calls it
    return file


def _bytes(picture, file_format, **options):
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()


def _address(kind, content):
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _wide(width):
    return widgets.Layout(width=width)


def _button(words, action, **options):
    button = widgets.Button(description=words, **options)
    button.on_click(lambda _: action())
    return button


def _dropdown(options, words):
    return widgets.Dropdown(options=options, description=words, layout=_wide("19rem"))


def _heading(words):
    return widgets.HTML(f"<h3>{words}</h3>")


def _thumbnail():
    thumbnail = widgets.HTML()
    thumbnail.add_class("thumbnail")
    return thumbnail


def _row(*children):
    row = widgets.HBox(children)
    row.add_class("row")
    return row
