"""What the studio's page is put together from: buttons, rows, lists of pictures. All of them are widgets."""

import ipywidgets as widgets

from nst_keras.pictures import BUNDLED


class Choosers:
    """The lists of a page from which pictures are chosen: bundled ones, and all that were uploaded to any of them.

    Args:
        uploads: the `Uploads` of the page.
        changed: is called when another picture is chosen, without arguments.
        say: shows a sentence.
        answering: a context manager that says what is wrong.
    """

    def __init__(self, uploads, changed, say, answering):
        self.uploads, self.changed, self.say, self.answering = uploads, changed, say, answering
        self.dropdowns, self.growing = [], False

    def make(self, kind, what, first, others=None):
        """A dropdown of the pictures of a kind, and the row of it, a button that uploads, and the chosen picture.

        Args:
            kind: folder of bundled pictures.
            what: what is chosen, in a word.
            first: what is chosen at first.
            others: what else can be chosen, {words: value}; it has no picture.
        """
        others, bundled = others or {}, (name for name, path in BUNDLED.items() if path.parent.name == kind)
        options = others | {name: name for name in (*bundled, *self.uploads.files)}
        dropdown = widgets.Dropdown(options=options, index=list(options.values()).index(first), **wide("12rem"))
        dropdown.description, dropdown.tooltip = what if others else "", what
        thumbnail = text(name="thumbnail")

        def take(change):
            for file in change["new"]:
                with self.answering():
                    name = self.uploads.take(file["name"], bytes(file["content"]))
                    self.offer(name)
                    dropdown.value = name
                    self.say(f"{name} is uploaded.")
            upload.value = ()  # so that the same file can come again

        def look(_=None):
            seen = dropdown.value not in others.values()
            thumbnail.value = self.uploads.thumbnail(dropdown.value, what) if seen else ""

        upload = widgets.FileUpload(accept="image/*", description="Upload", tooltip=f"a {what} of yours")
        upload.layout.width = "7rem"
        upload.observe(take, "value")
        dropdown.observe(look, "value")
        dropdown.observe(lambda _: self.growing or self.changed(), "value")
        look()
        self.dropdowns.append(dropdown)
        return dropdown, row(dropdown, upload, thumbnail)

    def offer(self, name):
        """Let an upload be chosen in every list; a list that grows has its first option chosen for a moment."""
        self.growing = True
        for dropdown in self.dropdowns:
            value = dropdown.value
            dropdown.options = {**dict(dropdown.options), name: name}
            dropdown.value = value
        self.growing = False


def wide(width):
    """Options of a widget: this wide, its description no wider than its words."""
    return {"layout": widgets.Layout(width=width), "style": {"description_width": "auto"}}


def button(words, action, width=None, **options):
    """A button that calls `action` without arguments."""
    made = widgets.Button(description=words, layout=widgets.Layout(width=width), **options)
    made.on_click(lambda _: action())
    return made


def text(html="", name="text"):
    """Text, or a picture, as HTML."""
    return widgets.HTML(html).add_class(name)


def row(*children, name="row"):
    """Widgets side by side."""
    return widgets.HBox(children).add_class("row").add_class(name)
