"""The options of the command line: what may be typed, and what it becomes. Needs no TensorFlow."""

import argparse
import sys
from contextlib import suppress
from dataclasses import fields

from nst_keras.pictures import BUNDLED, SIZE
from nst_keras.progress import SafeStream
from nst_keras.ranges import guess, short
from nst_keras.recipe import OPTIMIZERS, TILE, Recipe, check_layers, layer_weights
from nst_keras.styles import SCALE, SHARE


class Parser(argparse.ArgumentParser):
    """Answers a wrong argument with one line, not with the whole usage."""

    def error(self, message):
        option = message.removeprefix("unrecognized arguments: ").partition(" ")[0].partition("=")[0]
        hint = guess(option, self._option_string_actions) if option.startswith("--") else ""
        self.exit(2, f"nst-keras: {message}{'.' + hint if hint else ';'} --help shows all options.\n")

    def parse_args(self, arguments=None):
        options = super().parse_args(arguments)
        options.photos = [options.content]
        if options.paintings:
            options.photos, options.styles = [options.content, *options.styles], options.paintings
            if options.gif or options.region or "-" in options.photos:
                self.error("photos that --style paints can have no --gif and no --regions, and cannot come from stdin")
        if options.output is None:
            options.output = "stylised" if options.paintings else "stylised.png"
        return options

    def _parse_optional(self, text):
        return None if text.startswith("-,") else super()._parse_optional(text)  # --regions -,ground.png

    def _print_message(self, message, file=None):
        SafeStream(file or sys.stderr).write(message)


class Painting(argparse.Action):
    """Gathers the paintings of --style. Every other picture is a photo then, so one that stands alone is enough."""

    def __call__(self, parser, options, painting, option=None):
        options.paintings = [*(options.paintings or ()), painting]
        [styles] = [action for action in parser._actions if action.dest == "styles"]
        styles.nargs, styles.required = "*", False


def number(convert, allowed, **words):
    """A converter for argparse: the text as a number, if the range allows it, or as what one of the words means."""

    def parse(text):
        if text in words:
            return words[text]
        with suppress(ValueError):
            if (value := convert(text)) in allowed:
                return value
        raise argparse.ArgumentTypeError(f"must be {' or '.join((str(allowed), *words))}, not {short(text, 40)!r}")

    return parse


def mask(text):
    """Turn "-" into None: everywhere."""
    return None if text == "-" else text


def several(convert):
    """A converter for argparse: "2,1" as a list."""
    return lambda text: [convert(part.strip()) for part in text.split(",")]


def layers(text):
    """Turn "a,b" into ["a", "b"], and "a=1,b=2" into {"a": 1.0, "b": 2.0}."""
    names, equals, weights = zip(*(part.partition("=") for part in text.split(",")), strict=True)
    names = [name.strip() for name in names]
    try:
        check_layers(layer_weights(names if text else ()))  # none is unknown, none is named twice
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).rstrip(".")) from None
    if not any(equals):
        return names
    try:
        return dict(zip(names, map(float, weights), strict=True))
    except ValueError:
        example = "block1_conv1=1,block2_conv1=0.5"
        raise argparse.ArgumentTypeError(f"give every layer a weight, as in {example}, not {text!r}") from None


# How the knobs of a recipe that are no numbers are written.
OPTIONS = {
    "size": {"type": number(int, SIZE, original=None), "metavar": "N|original"},
    "tile": {"type": number(int, TILE, auto="auto"), "metavar": "N|auto"},
    "content_weight": {"metavar": "α"},
    "style_weight": {"metavar": "β"},
    "total_variation_weight": {"metavar": "W"},
    "content_layers": {"type": layers, "metavar": "L[,L…]"},
    "style_layers": {"type": layers, "metavar": "L[=W],…"},
    "optimizer": {"choices": OPTIMIZERS},
    "coarse_to_fine": {"action": argparse.BooleanOptionalAction},
}

# The knobs of a `Style`: their options, how they are written, and what they are.
STYLE_OPTIONS = {
    "--shares": ("share", several(number(float, SHARE)), "N,…", "how much of each counts, as in 2,1 (equal shares)"),
    "--stroke-scale": ("scale", several(number(float, SCALE)), "N[,N…]", "2: strokes twice as large; one for all (1)"),
    "--regions": ("region", several(mask), "MASK,…", "white where it paints on the photo; - for everywhere"),
    "--style-regions": ("style_region", several(mask), "MASK,…", "white where it is taken from the painting"),
}


def build_parser():
    """The parser of `nst-keras`; the help on every knob of a recipe is the recipe's own."""
    parser = Parser(
        prog="nst-keras",
        description="Paint the content of one picture in the style of another.",
        epilog="Bundled pictures: " + ", ".join(BUNDLED) + ".",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("content", metavar="CONTENT", help="the photograph: a file, the name of a bundled picture, or - for stdin")
    add("styles", metavar="STYLE", nargs="+", help="the painting, or several: as CONTENT")
    several = "the painting, once for each; all else are photos then, or folders of photos"
    add("-s", "--style", metavar="STYLE", dest="paintings", action=Painting, help=several)
    add("-o", "--output", metavar="OUT", help="where to save (stylised.png; with --style a folder, stylised)")
    add("--gif", metavar="FILM", help="also save an animation of the run here")
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--overwrite", action="store_true", help="replace files that exist")
    again = "continue an interrupted run: give its arguments again, and this one"
    existing.add_argument("--resume", action="store_true", help=again)
    add("--workers", metavar="ADDRESS", help="of a Dask scheduler: its workers paint several photos, or one in tiles")
    add("--pooling", choices=["max", "average"], default="max", help="how VGG16 shrinks its features (%(default)s)")
    add("--weights", default="bundled", help='of VGG16: "bundled", "imagenet" to download, or a file (%(default)s)')

    group = parser.add_argument_group("the recipe")
    for knob in fields(Recipe):
        allowed, default = knob.metadata["allowed"], knob.default
        options = {"help": f"{knob.metadata['help']} ({default})", "default": argparse.SUPPRESS}
        if isinstance(default, tuple):
            options["help"] = f"{knob.metadata['help']} ({default[0]}{' to ' + default[-1] if default[1:] else ''})"
        if allowed:
            options["type"] = number(type(default), allowed)
        group.add_argument("--" + knob.name.replace("_", "-"), **(options | OPTIONS.get(knob.name, {})))

    group = parser.add_argument_group("the styles, with one value for each, in their order")
    for option, (knob, convert, example, help) in STYLE_OPTIONS.items():
        group.add_argument(option, dest=knob, type=convert, metavar=example, help=help)
    colours = group.add_mutually_exclusive_group()
    colours.add_argument("--keep-colours", action="store_true", help="give the result the colours of the photo")
    colours.add_argument("--match-colours", action="store_true", help="recolour the paintings like the photo first")
    return parser
