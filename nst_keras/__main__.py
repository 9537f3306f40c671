"""The command line: nst-keras CONTENT STYLE [STYLE …] -o OUT."""

import os
import signal
import sys
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields, replace
from pathlib import Path

from nst_keras.checkpoints import Checkpoint, fingerprint, path_beside
from nst_keras.options import STYLE_OPTIONS, build_parser
from nst_keras.pictures import check_output_path, find_picture, open_picture, shape_of
from nst_keras.progress import SafeStream
from nst_keras.recipe import Recipe, check_sides, smallest_side
from nst_keras.styles import Style, open_style

GIF_FRAMES = 60
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]  # on Windows two
STATUS = {None: 0, "interrupted": 130, "diverged": 1, "out of memory": 1}


def main(arguments=None):
    """Run the command line; return the exit status: 0, 2 for bad input, 1 for a diverged, 130 for a stopped run."""
    try:
        options = build_parser().parse_args(arguments)
        recipe = Recipe(**{knob.name: vars(options)[knob.name] for knob in fields(Recipe) if knob.name in options})
        return run(options, recipe)
    except KeyboardInterrupt:
        for number in SIGNALS:  # another Ctrl-C would cut our answer to the first
            signal.signal(number, signal.SIG_IGN)
        say("\nStopped before the first step; nothing was saved.")
        return 130
    except (OSError, ValueError, ImportError, MemoryError) as error:
        message = str(error or "There is not enough memory; choose a smaller --size.")
        say("nst-keras: " + " ".join(message.splitlines()))
        return 2
    finally:
        for stream in (sys.stdout, sys.stderr):
            forget_what_cannot_be_written(stream)


def run(options, recipe):
    """Check everything that needs no TensorFlow, which takes seconds; then paint, save, and return the exit status."""
    output, gif = (name if name is None else Path(os.path.expanduser(name)) for name in (options.output, options.gif))
    names = [options.content, *options.styles]
    if "-" in names and sys.stdin is None:
        raise ValueError("No picture can come from stdin, because stdin is closed; name a file instead.")
    if names.count("-") > 1:
        raise ValueError("Only one picture can come from stdin; name a file for every other.")
    for name in options.styles:
        if options.styles.count(name) > 1 and not options.region:  # it may paint two regions
            raise ValueError(f"The painting {name} is named twice; name it once, with a larger share in --shares.")
    check_files(output, gif, options)
    content, styles, recipe = open_pictures(options, recipe)
    arguments = {**asdict(recipe), "weights": options.weights, "pooling": options.pooling}
    del arguments["tile"]  # the picture is the same
    arguments |= {"shares": [style.share for style in styles], "stroke_scale": [style.scale for style in styles]}
    arguments |= {"match_colours": options.match_colours, "content picture": fingerprint(content)}
    for name, field in (("style", "image"), ("region", "region"), ("style region", "style_region")):
        pictures = [getattr(style, field) for style in styles]
        prints = [None if picture is None else fingerprint(picture) for picture in pictures]
        arguments[f"{name} picture"] = prints if any(prints) else None
    checkpoint, done = Checkpoint(output, arguments), 0
    if recipe.init not in ("noise", "content"):
        recipe = replace(recipe, init=open_picture(recipe.init))
    if options.resume:
        image, done = checkpoint.load()
        recipe = replace(recipe, init=image)
    return stylise(output, gif, checkpoint, content, styles, recipe, done, options)


def check_files(output, gif, options):
    """Refuse what cannot be written, or would destroy what is there."""
    for path in filter(None, (output, gif)):
        check_output_path(path, animation=path is gif)
        if path.exists() and not (options.overwrite or options.resume):
            or_resume = ", or --resume to go on with the run" if path_beside(output).exists() else ""
            raise FileExistsError(f"{path} exists; choose another name, or add --overwrite{or_resume}.")
        masks = filter(None, [*(options.region or ()), *(options.style_region or ())])
        pictures = {"content": [options.content], "style": options.styles, "mask": masks}
        for name, source in ((name, source) for name, sources in pictures.items() for source in sources):
            if source != "-" and path.resolve() == find_picture(source).resolve():
                raise FileExistsError(f"{path} is the {name} picture; choose another name for the result.")
    if gif and gif.resolve() == output.resolve():
        raise FileExistsError(f"{gif} cannot be both the picture and the film; choose another name for one of them.")
    if options.weights not in ("bundled", "imagenet") and not os.path.isfile(os.path.expanduser(options.weights)):
        raise FileNotFoundError(f"There is no weights file {options.weights}.")


def open_pictures(options, recipe):
    """The photo, the styles, decoded and refused if they do not fit, and the recipe with its size."""
    needed = smallest_side(recipe.content_layers | recipe.style_layers)
    pictures = [sys.stdin.buffer if name == "-" else name for name in (options.content, *options.styles)]
    content = open_picture(pictures[0])
    recipe = replace(recipe, size=recipe.size or max(shape_of(content)))
    check_sides(options.content, shape_of(content), recipe.size, needed)
    knobs = [{} for _ in options.styles]
    for option, (knob, *_) in STYLE_OPTIONS.items():
        values = vars(options)[knob] or []
        if option == "--stroke-scale" and len(values) == 1:
            values *= len(knobs)
        if values and len(values) != len(knobs):
            raise ValueError(f"{option} takes one value for each painting: {len(knobs)}, not {len(values)}.")
        for style, value in zip(knobs, values, strict=False):
            style[knob] = value
    styles = [Style(picture, **style) for picture, style in zip(pictures[1:], knobs, strict=True)]
    return content, [open_style(style, shape_of(content), recipe.size, needed) for style in styles], recipe


def stylise(output, gif, checkpoint, content, styles, recipe, done, options):
    """Transfer the style, save what came out, and return the exit status."""
    with stopped_by_signals() as stop:
        from nst_keras import colours, load_vgg16, plotting, to_pil, transfer_style  # takes seconds

        def finished(image):
            return colours.keep_colours(image, content) if options.keep_colours else image

        if options.match_colours:
            styles = [replace(style, image=colours.match_colours(style.image, content)) for style in styles]
        frames = []
        callbacks = [checkpoint.save_now_and_then, *([film_into(frames, finished)] if gif else [])]
        image, history = transfer_style(
            content,
            styles,
            recipe=recipe,
            initial_step=done,
            vgg16=load_vgg16(options.weights, options.pooling),
            callbacks=[*callbacks, stop],
        )
        stopped = history.params["stopped"]
        if stopped == "interrupted" and not history.epoch:
            raise KeyboardInterrupt
        image = finished(image)
        save_somewhere(output, image)
        if stopped == "interrupted" and history.epoch[-1] < recipe.steps:
            with saving(checkpoint.path, ": the run cannot go on with --resume"):
                checkpoint.save()
            say(f"Interrupted after step {history.epoch[-1]}. The same command with --resume goes on.")
        else:
            checkpoint.path.unlink(missing_ok=True)
        if gif:
            with saving(gif, "; the picture itself is saved"):
                plotting.save_animation(gif, [*frames, to_pil(image)])
            say(f"Saved {gif}", sys.stdout)
    return STATUS[stopped]


def film_into(frames, finished):
    """A callback that gathers the pictures of a run, evenly spaced, and fewer than twice `GIF_FRAMES` of them."""
    from nst_keras import to_pil

    every = 1

    def film(step, losses, image):
        nonlocal every
        if step % every == 0:
            frames.append(to_pil(finished(image)))
        if len(frames) == 2 * GIF_FRAMES:  # keep every second picture: a long run must not fill the memory
            del frames[::2]
            every *= 2

    return film


@contextmanager
def stopped_by_signals():
    """A callback that answers Ctrl-C, a kill, and a terminal that is closed.

    Before the first step they end the program, later the run, after its step: none comes between picture and disk.
    Once is enough: a program that ends is not to be disturbed.
    """
    asked = painting = False

    def answer(number, frame):
        nonlocal asked
        first, asked = not asked, True
        if first and not painting:
            raise KeyboardInterrupt

    def stop(step, losses, image):
        nonlocal painting
        painting = True
        if asked:
            raise KeyboardInterrupt

    heeded = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]  # nohup wants it ignored
    before = {number: signal.signal(number, answer) for number in heeded}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if asked else handler)


def save_somewhere(output, image):
    """Save the picture; if its place has become impossible during the run, in the folder for temporary files."""
    from nst_keras import save_image

    try:
        save_image(output, image)
    except (OSError, ValueError) as error:
        fallback = Path(tempfile.mkdtemp()) / "stylised.png"
        save_image(fallback, image)
        raise OSError(f"{output} cannot be written ({error}); the picture is in {fallback}.") from error
    say(f"Saved {output}", sys.stdout)


@contextmanager
def saving(path, but):
    """Say which file cannot be written, and what that means."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{path} cannot be written ({error}){but}.") from error


def say(text, stream=None):
    """Print a line, on a stream that may fail; on stderr unless told otherwise."""
    print(text, file=SafeStream(stream or sys.stderr), flush=True)


def forget_what_cannot_be_written(stream):
    """Python would try once more when it ends, and complain."""
    try:
        if stream:
            stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):  # it is closed: nothing is left to be written
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    sys.exit(main())
