"""The command line: nst-keras CONTENT STYLE -o OUT."""

import argparse
import inspect
import json
import math
import os
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from nst_keras._arguments import (
    CONTENT_LAYERS,
    HEAVIEST,
    LIGHTEST,
    MOST_STEPS,
    STYLE_LAYERS,
    check_layers,
    check_numbers,
    check_sides,
    is_weight,
    layer_weights,
    smallest_side,
)
from nst_keras.images import (
    BUNDLED,
    LARGEST_SIDE,
    check_output_path,
    find_picture,
    open_picture,
    replacing,
    save_image,
    to_pil,
)

GIF_FRAMES = 60
SECONDS_BETWEEN_CHECKPOINTS = 10


class Parser(argparse.ArgumentParser):
    """Answers a wrong argument with one line, not with the whole usage."""

    def error(self, message):
        self.exit(2, f"nst-keras: {message}; --help shows all options.\n")


def whole_number(lowest, highest):
    def convert(text):
        if not text.isdecimal() or len(text) > 40 or not lowest <= int(text) <= highest:
            shown = text if len(text) < 40 else text[:40] + "…"
            raise argparse.ArgumentTypeError(f"must be a whole number from {lowest} to {highest}, not {shown!r}")
        return int(text)

    return convert


def weight(text):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not is_weight(value):
        raise argparse.ArgumentTypeError(f"must be 0 or a number from {LIGHTEST:g} to {HEAVIEST:g}, not {text!r}")
    return value


def build_parser():
    parser = Parser(
        prog="nst-keras",
        description="Paint the content of one picture in the style of another.",
        epilog="Bundled pictures: " + ", ".join(BUNDLED) + ".",
        allow_abbrev=False,
    )
    parser.add_argument("content", metavar="CONTENT", help="the photograph: a file, or the name of a bundled picture")
    parser.add_argument("style", metavar="STYLE", help="the painting: a file, or the name of a bundled picture")
    parser.add_argument("-o", "--output", metavar="OUT", default="stylised.png", help="where to save (%(default)s)")
    parser.add_argument("--gif", metavar="FILM", help="also save an animation of the run here")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")

    picture = parser.add_argument_group("the picture")
    # Defaults are those of transfer_style: an option that is not given is not passed on.
    option = picture.add_argument
    option("--size", type=whole_number(1, LARGEST_SIDE), help="longer side in pixels (400)")
    option("--content-weight", type=weight, metavar="α", help="how much the content counts (1.0)")
    option("--style-weight", type=weight, metavar="β", help="how much the style counts (0.2)")
    option("--total-variation-weight", type=weight, metavar="W", help="how much smoothness counts (0)")
    option("--content-layers", type=layers, metavar="L[,L…]", help="layers of VGG16 (block4_conv2)")
    option(
        "--style-layers",
        type=layers,
        metavar="L[=W],…",
        help="layers of VGG16, each with or each without a weight (block1_conv1 to block5_conv1)",
    )
    option("--pooling", choices=["max", "average"], default="max", help="how VGG16 shrinks its features (%(default)s)")
    option("--weights", default="bundled", help='of VGG16: "bundled", "imagenet" to download, or a file (%(default)s)')

    run = parser.add_argument_group("the run")
    option = run.add_argument
    option("--resume", action="store_true", help="continue an interrupted run: give its arguments again, and this one")
    option("--init", help='what to start from: "noise", "content", or a picture (noise)')
    option("--optimizer", choices=["lbfgs", "adam"], help="(lbfgs)")
    option("--steps", type=whole_number(1, MOST_STEPS), help="over all stages together (400)")
    option(
        "--coarse-to-fine",
        action=argparse.BooleanOptionalAction,
        help="start small and enlarge, or run at full size only (coarse to fine)",
    )
    option("--seed", type=whole_number(0, 2**128), help="of the noise (0)")
    return parser


def layers(text):
    """Turn "a,b" into ["a", "b"], and "a=1,b=2" into {"a": 1.0, "b": 2.0}."""
    names, equals, weights = zip(*(part.partition("=") for part in text.split(",")), strict=True)
    names = [name.strip() for name in names]
    try:
        check_layers(layer_weights(names))  # none is unknown, none is named twice
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).rstrip(".")) from None
    if not any(equals):
        return names
    try:
        return dict(zip(names, map(float, weights), strict=True))
    except ValueError:
        example = "block1_conv1=1,block2_conv1=0.5"
        raise argparse.ArgumentTypeError(f"give every layer a weight, as in {example}, not {text!r}") from None


def main(arguments=None):
    """Run the command line; return the exit status: 0, 2 for bad input, 1 for a diverged, 130 for a stopped run."""
    sys.stdout, sys.stderr = Unbreakable(sys.stdout), Unbreakable(sys.stderr)
    try:
        options = vars(build_parser().parse_args(arguments))
        output, gif, overwrite = Path(options.pop("output")), options.pop("gif"), options.pop("overwrite")
        resume = options.pop("resume")
        checkpoint = Checkpoint(output, options)
        check_files(output, gif and Path(gif), overwrite or resume, checkpoint, options)
        check_pictures(options)
        return stylise(output, gif, checkpoint, checkpoint.load() if resume else {}, **options)
    except KeyboardInterrupt:
        print("\nStopped before the first step; nothing was saved.", file=sys.stderr)
        return 130
    except (OSError, ValueError, ImportError, MemoryError) as error:
        message = str(error or "There is not enough memory; choose a smaller --size.")
        print("nst-keras:", " ".join(message.splitlines()), file=sys.stderr)
        return 2
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = sys.stdout.stream, sys.stderr.stream


def check_files(output, gif, overwrite, checkpoint, options):
    """Refuse what cannot be written, or would destroy what is there."""
    for path in filter(None, (output, gif)):
        check_output_path(path, animation=path is gif)
        if path.exists() and not overwrite:
            or_resume = ", or --resume to go on with the run" if checkpoint.path.exists() else ""
            raise FileExistsError(f"{path} exists; choose another name, or add --overwrite{or_resume}.")
        for name in ("content", "style"):
            if path.resolve() == find_picture(options[name]).resolve():
                raise FileExistsError(f"{path} is the {name} picture; choose another name for the result.")
    if gif and gif.resolve() == output.resolve():
        raise FileExistsError(f"{gif} cannot be both the picture and the film; choose another name for one of them.")
    if options["weights"] not in ("bundled", "imagenet") and not Path(options["weights"]).is_file():
        raise FileNotFoundError(f"There is no weights file {options['weights']}.")


def check_pictures(options):
    """Refuse numbers and pictures that make no sense, before the seconds that TensorFlow takes."""
    given = {name: value for name, value in options.items() if value is not None}
    numbers = inspect.signature(check_numbers).parameters
    check_numbers(**{name: value for name, value in given.items() if name in numbers})
    chosen = [*given.get("content_layers", CONTENT_LAYERS), *given.get("style_layers", STYLE_LAYERS)]
    for name in ("content", "style"):
        picture = open_picture(options[name])
        check_sides(options[name], (picture.height, picture.width), given.get("size", 400), smallest_side(chosen))
    if options["init"] not in (None, "noise", "content"):
        open_picture(options["init"])


def stylise(output, gif, checkpoint, done, *, content, style, weights, pooling, **options):
    """Transfer the style, save what came out, and return the exit status."""
    from nst_keras import load_vgg16, transfer_style

    for polite in ("SIGTERM", "SIGHUP"):  # a kill, or a terminal that is closed, is answered like Ctrl-C
        number = getattr(signal, polite, None)  # Windows has no SIGHUP
        if number and signal.getsignal(number) != signal.SIG_IGN:  # under nohup it is to be ignored
            signal.signal(number, signal.default_int_handler)
    options = {name: value for name, value in options.items() if value is not None} | done
    frames, every = [], 1

    def film(step, losses, image):
        nonlocal every
        if step % every == 0:
            frames.append(to_pil(image))
        if len(frames) == 2 * GIF_FRAMES:  # keep every second picture: a long run must not fill the memory
            del frames[::2]
            every *= 2

    callbacks = [checkpoint.save_now_and_then] + ([film] if gif else [])
    image, history = transfer_style(content, style, vgg16=load_vgg16(weights, pooling), callbacks=callbacks, **options)
    stopped = history.params["stopped"]
    if stopped == "interrupted" and not history.epoch:
        raise KeyboardInterrupt
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # an impatient second Ctrl-C must not lose the picture
    try:
        save_somewhere(output, image)
        if stopped == "interrupted":
            checkpoint.save_at_last(history.epoch[-1])
        else:
            checkpoint.path.unlink(missing_ok=True)
        if gif:
            save_film(gif, [*frames, to_pil(image)])
    finally:
        signal.signal(signal.SIGINT, interrupt)
    return {None: 0, "interrupted": 130, "diverged": 1}[stopped]


def save_somewhere(output, image):
    """Save the picture; if its place has become impossible during the run, in the folder for temporary files."""
    try:
        save_image(output, image)
    except (OSError, ValueError) as error:
        refuge = Path(tempfile.mkdtemp()) / "stylised.png"
        save_image(refuge, image)
        raise OSError(f"{output} cannot be written ({error}); the picture is in {refuge}.") from error
    print(f"Saved {output}")


def save_film(gif, frames):
    from nst_keras import plotting

    try:
        plotting.save_animation(gif, frames)
    except OSError as error:
        raise OSError(f"{gif} cannot be written ({error}); the picture itself is saved.") from error
    print(f"Saved {gif}")


class Unbreakable:
    """A stream that may be closed, full, or unable to write a letter: none of it is worth losing a picture."""

    def __init__(self, stream):
        self.stream = stream
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def write(self, text):
        with suppress(OSError, AttributeError):  # None has no method `write`
            self.stream.write(text)

    def flush(self):
        try:
            self.stream.flush()
        except OSError:  # forget it now, else Python complains of it at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
        except AttributeError:
            pass


class Checkpoint:
    """The picture so far, in a file beside the output, from which an interrupted run can go on."""

    def __init__(self, output, options):
        self.path = output.parent / (output.name + ".checkpoint.npz")
        self.arguments = options
        self.saved = time.monotonic()
        self.latest = None

    def save_now_and_then(self, step, losses, image):
        """A callback for `transfer_style`."""
        self.latest = {"step": step, "image": image.numpy()}
        if time.monotonic() - self.saved > SECONDS_BETWEEN_CHECKPOINTS:
            with suppress(OSError):  # a full disk is no reason to give up the run
                self.save()

    def save(self):
        with replacing(self.path) as unfinished:
            np.savez(unfinished, arguments=json.dumps(self.arguments), **self.latest)
        self.saved = time.monotonic()

    def save_at_last(self, step):
        try:
            self.save()
        except OSError as error:
            raise OSError(f"{self.path} cannot be written ({error}): the run cannot go on with --resume.") from error
        print(f"Interrupted after step {step}. The same command with --resume goes on.", file=sys.stderr)

    def load(self):
        """Return the options of `transfer_style` that continue the run."""
        if not self.path.is_file():
            raise FileNotFoundError(f"There is no {self.path} to resume from: a run that is interrupted leaves one.")
        try:
            with np.load(self.path, allow_pickle=False) as saved:
                arguments, step, image = dict(json.loads(str(saved["arguments"]))), int(saved["step"]), saved["image"]
        except Exception as error:  # a damaged file raises anything
            raise ValueError(f"{self.path} is damaged ({error}); delete it and start again.") from error
        now = self.arguments
        changed = [
            f"{name} was {value}, now {now.get(name)}" for name, value in arguments.items() if now.get(name) != value
        ]
        if changed:
            changed = "; ".join(changed).replace("None", "the default")
            raise ValueError(f"{self.path} is of a run with other arguments ({changed}). Give the same ones to resume.")
        return {"init": image, "initial_step": step}


if __name__ == "__main__":
    sys.exit(main())
