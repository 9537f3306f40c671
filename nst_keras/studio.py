"""The studio: choose, paint, stop, turn β, go on, take the picture home. A page of widgets over `transfer_style`.

In a notebook it is the output of a cell; `make studio` serves it as a page of its own. Two pages share no `Studio`.
"""

import html
import importlib
import threading
import time
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path

import ipywidgets as widgets
from tqdm import tqdm

from nst_keras.brush import Brush
from nst_keras.files import Uploads, code, curves, gif, jpeg, link, png, seen, title
from nst_keras.jobs import film_into
from nst_keras.parts import Choosers, button, row, text, wide
from nst_keras.pictures import BUNDLED, fitted_shape, open_picture, pixels_of, shape_of
from nst_keras.progress import work
from nst_keras.recipe import Recipe, plan_stages, remaining_stages
from nst_keras.settings import Settings
from nst_keras.styles import Style

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
    None: "Done: {} steps{}. Go on paints the last size once more, with another β if you like.",
    "callback": "Stopped after step {}{}. Go on paints the rest, with another β if you like.",
    "diverged": "After step {}{} the losses grew beyond all bounds. Choose a smaller β.",
    "out of memory": "After step {}{} the memory ran out. Choose a smaller size.",
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
        self.choosers = Choosers(self.uploads, self.changed, self.say, self.answering)
        self.asked_to_stop = threading.Event()
        self.make_widgets()
        self.add_painting()

    def make_widgets(self):
        """The widgets, what a click on them does, and where they stand."""

        def knob(name, kind=widgets.FloatText, **options):  # one with bounds would change what is typed, without a word
            [field] = [field for field in fields(Recipe) if field.name == name]
            options = {"description": name, "tooltip": field.metadata["help"], **wide("9rem")} | options
            return self.watched(kind(field.default, **options))

        powers = {"min": LOWEST_BETA, "max": HIGHEST_BETA, "step": 0.05, "readout_format": ".2g"}
        self.beta = knob("style_weight", widgets.FloatLogSlider, description="β", continuous_update=False, **powers)
        self.size, self.steps = knob("size", step=16), knob("steps", step=1)
        self.colours = self.watched(widgets.Dropdown(options=COLOURS, index=0, description="colours", **wide("20rem")))
        self.photo, photo = self.choosers.make("content", "photo", FIRST_PHOTO)
        self.painting_box, self.ends = widgets.VBox(), [text(name="thumbnail"), text(name="thumbnail")]
        add = button("Add a painting", self.add_painting)
        self.paint = button("Paint", self.start, "6.3rem", button_style="primary")
        self.stop = button("Stop", self.end_after_this_step, "6.3rem", disabled=True)
        self.go_on = button("Go on", lambda: self.start(going_on=True), "6.3rem", disabled=True)
        self.make_film = button("Make a film", lambda: self.in_background(self.save_film), disabled=True)
        self.message, self.download, self.film_link, self.code = (widgets.HTML() for _ in range(4))
        self.bar = widgets.FloatProgress(min=0, max=1, **wide("20rem"))
        self.picture, self.curves = text(name="picture"), text(name="curves")
        left = [text("<h3>Photo</h3>"), photo, text("<h3>Paintings</h3>"), self.painting_box, add]
        left += [text("<h3>How much of the painting</h3>"), row(self.ends[0], self.beta, self.ends[1], name="ends")]
        left += [row(self.size, self.steps), self.colours]
        right = [row(self.paint, self.stop, self.go_on), self.message, self.bar, self.picture]
        right += [row(self.download, self.make_film, self.film_link), self.curves]
        right += [widgets.Accordion([self.code], titles=["Copy as code"])]
        columns = widgets.Box([widgets.VBox(left), widgets.VBox(right)]).add_class("studio")
        self.page = widgets.VBox([widgets.HTML(f"<style>{STYLE_SHEET}</style>"), columns])

    def watched(self, widget):
        """The widget, whose changes show."""
        widget.observe(lambda _: self.changed(), "value")
        return widget

    def changed(self):
        """After a change of the settings: what was said before is no longer true."""
        if not self.is_busy():
            self.say("")
        self.show_brushes()
        self.show_settings()

    def add_painting(self):
        """One more painting, with its share, the size of its strokes and its region."""
        if len(self.paintings) == MOST_PAINTINGS:
            return self.say(f"{MOST_PAINTINGS} paintings are the most; remove one first.")

        def number(name, width, tooltip):
            field = widgets.FloatText(1.0, description=name, tooltip=tooltip, step=0.5, **wide(width))
            return self.watched(field)

        chosen = [painting["image"].value for painting in self.paintings]
        names = [name for name, path in BUNDLED.items() if path.parent.name == "style" and name not in chosen]
        image, images = self.choosers.make("style", "painting", FIRST_PAINTING if FIRST_PAINTING in names else names[0])
        brush = Brush(self.uploads, self.changed)
        others = {"everywhere": None, "painted by hand": brush.name}
        region, regions = self.choosers.make("masks", "region", None, others)
        share = number("share", "6rem", "how much of this painting, beside the shares of the others")
        scale = number("stroke scale", "8rem", "2: strokes twice as large")
        painting = {"image": image, "share": share, "scale": scale, "region": region, "brush": brush}
        remove = button("Remove", lambda: self.remove_painting(painting), "5rem")
        painting["box"] = widgets.VBox([images, row(share, scale, remove), regions, brush.box])
        painting["box"].add_class("painting")
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
        self.changed()

    def show_brushes(self):
        """Show the photo where a region is painted by hand; on another photo it is painted anew."""
        for painting in self.paintings:
            brush = painting["brush"]
            brush.lay(self.photo.value if painting["region"].value == brush.name else None)

    def say(self, sentence):
        """Answer in a sentence."""
        self.message.value = html.escape(sentence)

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
        size, steps = (int(n) if n.is_integer() else n for n in (self.size.value, self.steps.value))
        recipe = Recipe(size=size, style_weight=self.style_weight(), steps=steps)
        return Settings(self.photo.value, [Style(**style) for style in knobs], recipe, self.colours.value)

    def show_settings(self):
        """Show the settings as code, and the pictures at the ends of the slider."""
        if self.paintings:
            with self.answering():
                self.code.value = ""  # where the settings are refused, there is no code for them
                settings = self.settings()
                self.code.value = code(settings, self.uploads.region_links(settings))
                self.ends[0].value = self.uploads.thumbnail(settings.photo, "photo") + "more of the photo"
                painting = self.uploads.thumbnail(settings.styles[0].image, "painting")
                self.ends[1].value = painting + "more of the painting"

    def start(self, going_on=False):
        """Paint a new picture, or on from the one at hand."""
        with self.answering():
            settings, since = self.settings(), ""
            if going_on:
                since = self.what_is_new(settings)
                if settings.photo != self.painted.photo:
                    raise ValueError(f"The picture at hand is of {self.painted.photo}; press Paint to begin a new one.")
            self.in_background(self.paint_picture, settings, going_on, since)

    def what_is_new(self, settings):
        """What differs from the settings of the picture at hand, and from when on, in words."""

        def parts(of, painted):
            return {
                "another size": of.recipe.size,
                "other paintings": [(style.image, style.share, style.scale) for style in of.styles],
                "other regions": ([style.region for style in of.styles if style.region], painted),
                "other colours": of.colours,
            }

        before, now = parts(self.painted, self.regions), parts(settings, self.uploads.region_links(settings))
        new = " and ".join(words for words in now if now[words] != before[words])
        return new and f", from step {len(self.records) + 1} on with {new}"

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

        if not self.is_busy():  # a second click may come before the button is grey
            self.asked_to_stop.clear()
            self.allow(painting=True)
            self.say("Getting ready …")
            self.thread = threading.Thread(target=answered, daemon=True)
            self.thread.start()

    def is_busy(self):
        return self.thread is not None and self.thread.is_alive()

    def allow(self, painting):
        """Which buttons can be pressed."""
        self.paint.disabled, self.stop.disabled = painting, not painting
        self.go_on.disabled, self.make_film.disabled = painting or not self.latest, painting or self.image is None

    def paint_picture(self, settings, going_on, since):
        """Paint until the steps are done or Stop is pressed; when β is turned, go on with the picture at hand."""
        from nst_keras import colours, transfer_style

        if going_on:
            self.say(f"Going on{since} …")
        photo, size = open_picture(self.uploads.source(settings.photo)), settings.recipe.size
        self.regions = self.uploads.region_links(settings)  # as they are now; they may be painted on
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
                verbose=0,
            )
            turned, at_hand = replace(turned, style_weight=self.style_weight()), self.latest
            if self.asked_to_stop.is_set() or turned == settings.recipe:
                turned = None
        self.image = self.finished(image)
        self.show(self.image)
        self.curves.value = curves(self.records)
        repeatable = self.repeatable and not history.params["stopped"]
        picture = png(self.image, settings, repeatable)
        self.download.value = f"{link(f'{title(settings)}.png', picture, 'Download the picture')} {self.regions}"
        self.say(ENDS[history.params["stopped"]].format(len(self.records), since))

    def watch(self, settings, stages, new):
        """A callback that shows how far the run is, and ends it where the page asks for that."""
        from nst_keras import StopTransfer

        steps = sum(steps for *_, steps in stages) + (0 if new else len(self.records))
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
                self.say(f"Step {len(self.records)} of {steps}, {width}×{height} pixels{left}")
            if now >= next_curves and len(self.records) > 1:
                self.curves.value = curves(self.records)
                next_curves = time.monotonic() + SECONDS_BETWEEN_CURVES
            if self.asked_to_stop.is_set() or self.style_weight() != settings.recipe.style_weight:
                raise StopTransfer

        return callback

    def show(self, image):
        """Show the picture so far."""
        self.picture.value = seen("jpeg", jpeg(image), "The picture so far", image.shape[1:3])

    def save_film(self):
        """Make the film, and a link that saves it."""
        self.stop.disabled = True
        film = gif([*self.frames, self.image])
        self.film_link.value = link(f"{title(self.painted)}.gif", film, "Download the film")
        self.say("The film is ready.")
