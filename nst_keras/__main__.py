"""The command line: nst-keras CONTENT STYLE -o OUT."""

import argparse
import json
import math
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from nst_keras.images import BUNDLED, check_output_path, open_picture, replacing, save_image, to_pil

GIF_FRAMES = 60
SECONDS_BETWEEN_CHECKPOINTS = 10


class Parser(argparse.ArgumentParser):
    """Answers a wrong argument with one line, not with the whole usage."""

    def error(self, message):
        self.exit(2, f"nst-keras: {message}; --help shows all options.\n")


def whole_number_from(lowest):
    def whole_number(text):
        if not text.isdecimal() or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"must be a whole number from {lowest} up, not {text!r}")
        return int(text)

    return whole_number


def weight(text):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number from 0 up, not {text!r}")
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
    option("--size", type=whole_number_from(1), help="longer side in pixels (400)")
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
    option("--steps", type=whole_number_from(1), help="over all stages together (400)")
    option(
        "--coarse-to-fine",
        action=argparse.BooleanOptionalAction,
        help="start small and enlarge, or run at full size only (coarse to fine)",
    )
    option("--seed", type=whole_number_from(0), help="of the noise (0)")
    return parser


def layers(text):
    """Turn "a,b" into ["a", "b"], and "a=1,b=2" into {"a": 1.0, "b": 2.0}."""
    parts = [part.strip() for part in text.split(",")]
    if not any("=" in part for part in parts):
        return parts
    try:
        return {name.strip(): float(weight) for name, weight in (part.split("=") for part in parts)}
    except ValueError:
        example = "block1_conv1=1,block2_conv1=0.5"
        raise argparse.ArgumentTypeError(f"give every layer a weight, as in {example}, not {text!r}") from None


def main(arguments=None):
    """Run the command line; return the exit status: 0, 2 for bad input, 1 for a diverged, 130 for a stopped run."""
    options = vars(build_parser().parse_args(arguments))
    output, gif, overwrite = Path(options.pop("output")), options.pop("gif"), options.pop("overwrite")
    resume = options.pop("resume")
    checkpoint = Checkpoint(output, options)
    try:
        for path in filter(None, (output, gif)):
            check_output_path(path, animation=path is gif)
            if Path(path).exists() and not (overwrite or resume):
                or_resume = ", or --resume to go on with the run" if checkpoint.path.exists() else ""
                raise FileExistsError(f"{path} exists; choose another name, or add --overwrite{or_resume}.")
        for name in ("content", "style", "init"):
            if options[name] not in (None, "noise") and (name, options[name]) != ("init", "content"):
                open_picture(options[name])
        return stylise(output, gif, checkpoint, checkpoint.load() if resume else {}, **options)
    except KeyboardInterrupt:
        print("\nStopped before the first step; nothing was saved.", file=sys.stderr)
        return 130
    except (OSError, ValueError, ImportError, MemoryError) as error:
        print(f"nst-keras: {error or 'There is not enough memory; choose a smaller --size.'}", file=sys.stderr)
        return 2


def stylise(output, gif, checkpoint, done, *, content, style, weights, pooling, **options):
    """Transfer the style, save what came out, and return the exit status."""
    from nst_keras import load_vgg16, plotting, transfer_style

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill is answered like Ctrl-C
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
    save_somewhere(output, image)
    if stopped == "interrupted":
        checkpoint.save()
        print(f"Interrupted after step {history.epoch[-1]}. The same command with --resume goes on.", file=sys.stderr)
    else:
        checkpoint.path.unlink(missing_ok=True)
    signal.signal(signal.SIGINT, interrupt)
    if gif:
        plotting.save_animation(gif, [*frames, to_pil(image)])
        print(f"Saved {gif}")
    return {None: 0, "interrupted": 130, "diverged": 1}[stopped]


def save_somewhere(output, image):
    """Save the picture; if its place has become impossible during the run, in the folder for temporary files."""
    try:
        save_image(output, image)
    except OSError as error:
        refuge = Path(tempfile.mkdtemp()) / output.name
        save_image(refuge, image)
        raise OSError(f"{output} cannot be written ({error}); the picture is in {refuge}.") from error
    print(f"Saved {output}")


class Checkpoint:
    """The picture so far, in a file beside the output, from which an interrupted run can go on."""

    def __init__(self, output, options):
        self.path = output.with_name(output.name + ".checkpoint.npz")
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

    def load(self):
        """Return the options of `transfer_style` that continue the run."""
        if not self.path.is_file():
            raise FileNotFoundError(f"There is no {self.path} to resume from: a run that is interrupted leaves one.")
        try:
            with np.load(self.path, allow_pickle=False) as saved:
                arguments, step, image = json.loads(str(saved["arguments"])), int(saved["step"]), saved["image"]
        except Exception as error:  # a damaged file raises anything
            raise ValueError(f"{self.path} is damaged ({error}); delete it and start again.") from error
        now = self.arguments
        changed = [f"{name} was {value}, now {now[name]}" for name, value in arguments.items() if now[name] != value]
        if changed:
            changed = "; ".join(changed).replace("None", "the default")
            raise ValueError(f"{self.path} is of a run with other arguments ({changed}). Give the same ones to resume.")
        return {"init": image, "initial_step": step}


if __name__ == "__main__":
    sys.exit(main())
