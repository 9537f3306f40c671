"""The studio: choose, paint, stop, turn β, go on, take the picture home. A page of widgets over `transfer_style`.

In a notebook it is the output of a cell; `make studio` serves it as a page of its own. Two pages share no `Studio`.
"""

import functools
import html
import importlib
import threading
import time
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path

import ipywidgets as widgets
from tqdm import tqdm

from nst_keras.files import Uploads, curves, gif, jpeg, link, png
from nst_keras.jobs import film_into
from nst_keras.pictures import BUNDLED, fitted_shape, open_picture, pixels_of, shape_of
from nst_keras.progress import work
from nst_keras.recipe import Recipe, plan_stages, remaining_stages
from nst_keras.settings import Settings
from nst_keras.styles import SCALE, SHARE, Style

FIRST_PHOTO, FIRST_PAINTING = "summer_palace", "great_wave"
MOST_PAINTINGS = 4
LOWEST_BETA, HIGHEST_BETA = -2, 1  # as powers of ten: the photo is left as it is, or is hardly left
SECONDS_BETWEEN_PICTURES, SECONDS_BETWEEN_CURVES = 0.2, 2.0
COLOURS = {
    "the painting's": None,
    "the photo's, put back at the end": "keep_colours",
    "the photo's, lent to the painting first": "match_colours",
}
ENDS = {
    None: "Done: {} steps. Go on paints the last size once more, with another β if you like.",
    "callback": "Stopped after step {}. Go on paints the rest, with another β if you like.",
    "diverged": "After step {} the losses grew beyond all bounds. Choose a smaller β.",
    "out of memory": "After step {} the memory ran out. Choose a smaller size.",
}
STYLE_SHEET = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")


def studio():
    """Show the studio below the cell of a notebook; every call makes a new one, which has nothing to do with others.

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
        self.uploads, self.paintings = Uploads(), []
        self.thread = self.latest = self.image = None
        self.asked_to_stop = threading.Event()
        self.make_widgets()
        self.add_painting()

    def make_widgets(self):
        """The widgets, what a click on them does, and where they stand."""

        def number(knob, kind=widgets.BoundedIntText, **options):
            [field] = [field for field in fields(Recipe) if field.name == knob]
            allowed = field.metadata["allowed"]
            options = {"min": allowed.lowest, "max": allowed.highest, "description": knob, **_wide("9rem")} | options
            return self.watched(kind(value=field.default, tooltip=field.metadata["help"], **options))

        powers = {"min": LOWEST_BETA, "max": HIGHEST_BETA, "step": 0.05, "readout_format": ".2g"}
        self.beta = number("style_weight", widgets.FloatLogSlider, description="β", continuous_update=False, **powers)
        self.size, self.steps = number("size", step=16), number("steps")
        self.colours = self.watched(widgets.Dropdown(options=COLOURS, index=0, description="colours", **_wide("20rem")))
        self.photo, photo = self.chooser("content", "photo", FIRST_PHOTO)
        self.painting_box, self.ends = widgets.VBox(), [_html(name="thumbnail"), _html(name="thumbnail")]
        add = _button("Add a painting", self.add_painting)
        self.paint = _button("Paint", self.start, button_style="primary")
        self.stop = _button("Stop", self.end_after_this_step, disabled=True)
        self.go_on = _button("Go on", lambda: self.start(going_on=True), disabled=True)
        self.make_film = _button("Make a film", lambda: self.in_background(self.save_film), disabled=True)
        self.message, self.download, self.film_link, self.code = (widgets.HTML() for _ in range(4))
        self.bar = widgets.FloatProgress(min=0, max=1, **_wide("20rem"))
        self.picture, self.curves = (widgets.Image() for _ in range(2))
        for shown, name in ((self.picture, "picture"), (self.curves, "curves")):  # a tooltip would break their view
            shown.add_class(name)
            shown.layout.display = "none"  # until there is one
        left = [_html("<h3>Photo</h3>"), photo, _html("<h3>Paintings</h3>"), self.painting_box, add]
        left += [_html("<h3>How much of the painting</h3>"), _row(self.ends[0], self.beta, self.ends[1], name="ends")]
        left += [_row(self.size, self.steps), self.colours]
        right = [_row(self.paint, self.stop, self.go_on), self.message, self.bar, self.picture]
        right += [_row(self.download, self.make_film, self.film_link), self.curves]
        right += [widgets.Accordion([self.code], titles=["Copy as code"])]
        columns = widgets.Box([widgets.VBox(left), widgets.VBox(right)]).add_class("studio")
        self.page = widgets.VBox([widgets.HTML(f"<style>{STYLE_SHEET}</style>"), columns])

    def watched(self, widget):
        """The widget, whose changes show in the code."""
        widget.observe(self.show_settings, "value")
        return widget

    def chooser(self, kind, what, first):
        """A dropdown of the bundled pictures of a kind, and the row of it, a button that uploads, and the picture."""
        names = {name: name for name, path in BUNDLED.items() if path.parent.name == kind}
        options = names if first else {"everywhere": None, **names}
        dropdown = widgets.Dropdown(options=options, index=list(options.values()).index(first), **_wide("12rem"))
        dropdown.description, dropdown.tooltip = "" if first else what, what
        thumbnail = _html(name="thumbnail")

        def take(change):
            for file in change["new"]:
                with self.answering():
                    name = self.uploads.take(file["name"], bytes(file["content"]))
                    dropdown.options = {**dict(dropdown.options), name: name}
                    dropdown.value = name
                    self.say(f"{name} is uploaded.")
            upload.value = ()  # so that the same file can come again

        def look(_=None):
            thumbnail.value = self.uploads.thumbnail(dropdown.value, what) if dropdown.value else ""

        upload = widgets.FileUpload(accept="image/*", description="Upload", tooltip=f"a {what} of yours")
        upload.layout.width = "7rem"
        upload.observe(take, "value")
        dropdown.observe(look, "value")
        look()
        return self.watched(dropdown), _row(dropdown, upload, thumbnail)

    def add_painting(self):
        """One more painting, with its share, the size of its strokes and its region."""
        if len(self.paintings) == MOST_PAINTINGS:
            return self.say(f"{MOST_PAINTINGS} paintings are the most; remove one first.")

        def number(name, allowed, tooltip):
            options = {"min": allowed.lowest, "max": allowed.highest, "step": 0.5, "tooltip": tooltip, **_wide("7rem")}
            return self.watched(widgets.BoundedFloatText(1.0, description=name, **options))

        chosen = [painting["image"].value for painting in self.paintings]
        names = [name for name, path in BUNDLED.items() if path.parent.name == "style" and name not in chosen]
        image, images = self.chooser("style", "painting", FIRST_PAINTING if FIRST_PAINTING in names else names[0])
        region, regions = self.chooser("masks", "region", None)
        share = number("share", SHARE, "how much of this painting, beside the shares of the others")
        scale = number("strokes", SCALE, "2: strokes twice as large")
        painting = {"image": image, "share": share, "scale": scale, "region": region}
        remove = _button("Remove", lambda: self.remove_painting(painting), "5rem")
        painting["box"] = widgets.VBox([images, _row(share, scale, remove), regions]).add_class("painting")
        self.show_paintings([*self.paintings, painting])

    def remove_painting(self, painting):
        """Take a painting from the page; one is always left."""
        if len(self.paintings) == 1:
            return self.say("One painting is needed; choose another in its place.")
        self.show_paintings([one for one in self.paintings if one is not painting])

    def show_paintings(self, paintings):
        """Let these be the paintings."""
        self.paintings = paintings
        self.painting_box.children = [painting["box"] for painting in paintings]
        self.show_settings()

    def say(self, text):
        """Answer in a sentence."""
        self.message.value = html.escape(text)

    @contextmanager
    def answering(self):
        """Say what is wrong with what we were given."""
        try:
            yield
        except (OSError, ValueError, MemoryError) as error:
            self.say(str(error) or "There is not enough memory; choose a smaller size.")

    def style_weight(self):
        """β, with as many digits as the slider shows."""
        return float(f"{self.beta.value:.2g}")

    def settings(self):
        """The `Settings` of this moment."""
        knobs = [{name: one[name].value for name in ("image", "share", "scale", "region")} for one in self.paintings]
        everywhere = [style["image"] for style in knobs if style["region"] is None]
        for name in everywhere:
            if everywhere.count(name) > 1:
                raise ValueError(f"The painting {name} is chosen twice; choose it once, with a larger share.")
        recipe = Recipe(size=self.size.value, style_weight=self.style_weight(), steps=self.steps.value)
        return Settings(self.photo.value, [Style(**style) for style in knobs], recipe, self.colours.value)

    def show_settings(self, _=None):
        """Show the settings as code, and the pictures at the ends of the slider."""
        if self.paintings:
            with self.answering():
                self.code.value = ""  # where the settings are refused, there is no code for them
                settings = self.settings()
                parts = {"In Python (a click selects it):": settings.python(), "In a terminal:": settings.command()}
                self.code.value = "".join(f"{title}<pre>{html.escape(code)}</pre>" for title, code in parts.items())
                self.ends[0].value = self.uploads.thumbnail(settings.photo, "photo")
                self.ends[1].value = self.uploads.thumbnail(settings.styles[0].image, "painting")

    def start(self, going_on=False):
        """Paint a new picture, or on from the one at hand."""
        with self.answering():
            settings = self.settings()
            if going_on and settings.photo != self.painted.photo:
                raise ValueError(f"The picture at hand is of {self.painted.photo}; press Paint to begin a new one.")
            self.in_background(self.paint_picture, settings, going_on)

    def end_after_this_step(self):
        self.asked_to_stop.set()
        self.say("Stopping after this step …")

    def in_background(self, task, *arguments):
        """Do what takes time in a thread, with grey buttons, and answer in a sentence whatever goes wrong."""

        def answered():
            try:
                with self.answering():
                    task(*arguments)
            except Exception as error:  # a thread that ends without a word would leave the page waiting
                self.say(f"Something went wrong that should not have: {error!r}")
            finally:
                self.allow(painting=False)

        if not (self.thread and self.thread.is_alive()):  # a second click may come before the button is grey
            self.asked_to_stop.clear()
            self.allow(painting=True)
            self.say("Getting ready …")
            self.thread = threading.Thread(target=answered, daemon=True)
            self.thread.start()

    def allow(self, painting):
        """Which buttons can be pressed."""
        self.paint.disabled, self.stop.disabled = painting, not painting
        self.go_on.disabled, self.make_film.disabled = painting or not self.latest, painting or self.image is None

    def paint_picture(self, settings, going_on):
        """Paint until the steps are done or Stop is pressed; when β is turned, go on with the picture at hand."""
        from nst_keras import colours, transfer_style

        photo, size = open_picture(self.uploads.source(settings.photo)), settings.recipe.size
        styles = [
            replace(one, image=self.uploads.source(one.image), region=self.uploads.source(one.region))
            for one in settings.styles
        ]
        self.finished = lambda image: image
        if settings.colours == "keep_colours":
            pixels = pixels_of(photo, size)  # as many as are needed: every picture that is shown is to be quick
            self.finished = lambda image: colours.keep_colours(image, pixels)
        if settings.colours == "match_colours":
            styles = [replace(style, image=colours.match_colours(style.image, photo)) for style in styles]
        plan = plan_stages(*fitted_shape(*shape_of(photo), size), settings.recipe.steps)
        turned, at_hand = settings.recipe, self.latest if going_on else None
        while turned:
            settings = replace(settings, recipe=turned)
            step, start = at_hand or (0, turned.init)
            done = step if step < turned.steps else turned.steps - plan[-1][2]  # it was finished: the last size again
            image, history = transfer_style(
                photo,
                styles,
                recipe=replace(turned, init=start),
                initial_step=done,
                callbacks=self.watch(settings, remaining_stages(plan, done), new=not at_hand),
                vgg16=_network(),
                verbose=0,
            )
            turned, at_hand = replace(turned, style_weight=self.style_weight()), self.latest
            if self.asked_to_stop.is_set() or turned == settings.recipe:
                turned = None
        self.image = self.finished(image)
        self.show(self.image)
        self.curves.value = curves(self.records)
        repeatable = self.repeatable and not history.params["stopped"]
        self.download.value = link("png", png(self.image, settings, repeatable), settings, "Download the picture")
        self.say(ENDS[history.params["stopped"]].format(self.latest[0]))

    def watch(self, settings, stages, new):
        """A callback that shows how far the run is, and ends it where the page asks for that."""
        from nst_keras import StopTransfer

        total, painted, start = sum(steps * work(height, width) for height, width, steps in stages), 0, None
        next_picture = next_curves = 0.0
        self.picture.layout.width = f"{max(320, stages[-1][1])}px"  # small stages are shown as large as the last

        def callback(step, losses, image):
            nonlocal painted, start, next_picture, next_curves
            height, width = image.shape[1:3]
            if not start:  # only now: had the settings been refused, the picture at hand would still be there
                self.painted, self.download.value, self.film_link.value = settings, "", ""
                self.repeatable = new
                if new:
                    self.image, self.frames, self.records = None, [], []
                    self.film = film_into(self.frames, lambda image: self.finished(image))
            self.latest = step, image
            self.film(step, losses, image)
            self.records.append(losses | {"size": max(height, width)})
            now, painted = time.monotonic(), painted + work(height, width)
            start = start or (now, painted)  # before the first step TensorFlow makes ready
            if now >= next_picture or painted >= total:
                next_picture = now + SECONDS_BETWEEN_PICTURES
                self.show(self.finished(image))
                self.bar.value = painted / total
                left = (now - start[0]) / max(1, painted - start[1]) * (total - painted)
                left = f", {tqdm.format_interval(left)} left" if left else ""
                self.say(f"Step {step} of {settings.recipe.steps}, {width}×{height} pixels{left}")
            if now >= next_curves and len(self.records) > 1:
                self.curves.value, self.curves.layout.display = curves(self.records), None
                next_curves = time.monotonic() + SECONDS_BETWEEN_CURVES
            if self.asked_to_stop.is_set() or self.style_weight() != settings.recipe.style_weight:
                raise StopTransfer

        return callback

    def show(self, image):
        """Show the picture so far."""
        self.picture.value, self.picture.layout.display = jpeg(image), None

    def save_film(self):
        """Make the film, and a link that saves it."""
        self.stop.disabled = True
        film = gif([*self.frames, self.image])
        self.film_link.value = link("gif", film, self.painted, "Download the film")
        self.say("The film is ready.")


@functools.cache  # it is never changed: a turned β and other pages need not load it again
def _network():
    from nst_keras import load_vgg16

    return load_vgg16()


def _wide(width):
    return {"layout": widgets.Layout(width=width), "style": {"description_width": "auto"}}


def _button(words, action, width=None, **options):
    button = widgets.Button(description=words, layout=widgets.Layout(width=width), **options)
    button.on_click(lambda _: action())
    return button


def _html(text="", name="text"):
    return widgets.HTML(text).add_class(name)


def _row(*children, name="row"):
    return widgets.HBox(children).add_class("row").add_class(name)
