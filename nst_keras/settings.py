"""All that a picture is made of, and how to say it as code. Needs no TensorFlow."""

import json
import shlex
from dataclasses import dataclass, fields

from nst_keras.options import STYLE_OPTIONS
from nst_keras.recipe import Recipe
from nst_keras.styles import Style


@dataclass(frozen=True)
class Settings:
    """The pictures by their names, a recipe, and whose colours it is to have.

    Args:
        photo: the name of a file, or of a bundled picture.
        styles: list of `Style`, with names in place of pictures.
        recipe: a `Recipe`.
        colours: "keep_colours", "match_colours", or None for those of the painting.

    Example:
        >>> settings = Settings("cat", [Style("poppies")], Recipe(size=96), "keep_colours")
        >>> settings.command()
        'nst-keras cat poppies --size 96 --keep-colours -o stylised.png'
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
        """The lines of Python that paint it: what is as it is by default goes without saying."""
        photo, keep = _quoted(self.photo), ""
        styles = [self._style(style) for style in self.styles]
        arguments = [photo, styles[0] if len(styles) == 1 else f"[{', '.join(styles)}]"]
        arguments += _keywords(_turned(self.recipe, Recipe()))
        call = f"image, history = transfer_style({', '.join(arguments)})"
        if len(call) > 80:
            call = "image, history = transfer_style(" + "".join(f"\n    {each}," for each in arguments) + "\n)"
        if self.colours == "keep_colours":
            keep = f"image = keep_colours(image, {photo})\n"
        code = f'{call}\n{keep}save_image("stylised.png", image)'
        names = ("Style", "keep_colours", "match_colours", "save_image", "transfer_style")
        return f"from nst_keras import {', '.join(name for name in names if name + '(' in code)}\n\n{code}"

    def _style(self, style):
        image, knobs = _quoted(style.image), _turned(style, Style(style.image))
        if self.colours == "match_colours":
            image = f"match_colours({image}, {_quoted(self.photo)})"
        return f"Style({', '.join([image, *_keywords(knobs)])})" if knobs else image

    def command(self):
        """The command line that paints it."""
        parts = ["nst-keras", self.photo, *(style.image for style in self.styles)]
        for option, (knob, *_) in STYLE_OPTIONS.items():
            if any(knob in _turned(style, Style(style.image)) for style in self.styles):
                values = [getattr(style, knob) for style in self.styles]
                parts += [option, ",".join("-" if value is None else str(value) for value in values)]
        for name, value in _turned(self.recipe, Recipe()).items():
            parts += ["--" + name.replace("_", "-"), str(value)]
        if self.colours:
            parts.append("--" + self.colours.replace("_", "-"))
        return shlex.join([*parts, "-o", "stylised.png"])


def _turned(thing, plain):
    """The fields of a `Style` or a `Recipe` in which it differs from a plain one."""
    values = {field.name: getattr(thing, field.name) for field in fields(plain)}
    return {name: value for name, value in values.items() if value != getattr(plain, name)}


def _keywords(knobs):
    return [f"{name}={_quoted(value)}" for name, value in knobs.items()]


def _quoted(value):
    return json.dumps(value, ensure_ascii=False)  # a name in double quotes, a number as it is
