"""A picture that the command line paints: checked and opened, painted, saved. Only painting needs TensorFlow."""

import functools
import os
import sys
import tempfile
import warnings
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

from nst_keras.checkpoints import Checkpoint, fingerprint, path_beside
from nst_keras.options import STYLE_OPTIONS
from nst_keras.pictures import SIZE, check_output_path, find_picture, open_picture, shape_of
from nst_keras.ranges import short
from nst_keras.recipe import Recipe, check_sides, smallest_side
from nst_keras.styles import Style, open_style

GIF_FRAMES = 60


class Job(NamedTuple):
    """A picture to be painted: what it is made of, decoded and checked, and where it goes."""

    content: object
    recipe: Recipe
    styles: list
    output: Path
    checkpoint: Checkpoint
    done: int


def check_sources(options):
    """Refuse pictures that are named in a way that makes no sense, and weights that are not there."""
    names = [*options.photos, *options.styles]
    if "-" in names and sys.stdin is None:
        raise ValueError("No picture can come from stdin, because stdin is closed; name a file instead.")
    if names.count("-") > 1:
        raise ValueError("Only one picture can come from stdin; name a file for every other.")
    for name in options.styles:
        if options.styles.count(name) > 1 and not options.region:  # it may paint two regions
            raise ValueError(f"The painting {name} is named twice; name it once, with a larger share in --shares.")
    if os.path.isdir(os.path.expanduser(options.content)) and not options.paintings:
        raise ValueError(f"{options.content} is a folder; to paint all photos in it, name the painting with --style.")
    if options.weights not in ("bundled", "imagenet") and not os.path.isfile(os.path.expanduser(options.weights)):
        raise FileNotFoundError(f"There is no weights file {options.weights}.")


def check_files(outputs, photos, options):
    """Refuse what cannot be written, or would destroy what is there."""
    gif, masks = options.gif, filter(None, [*(options.region or ()), *(options.style_region or ())])
    pictures = {"content": photos, "style": options.styles, "mask": masks}
    sources = [(name, source) for name, sources in pictures.items() for source in sources if source != "-"]
    kinds = {find_picture(source).resolve(): name for name, source in sources}
    for path in filter(None, (*outputs, gif)):
        check_output_path(path, animation=path is gif)
        if path.exists() and not (options.overwrite or options.resume):
            or_resume = ", or --resume to go on with the run" if path_beside(outputs[0]).exists() else ""
            if options.paintings:
                or_resume = ", or --resume to paint what is not there yet"
            raise FileExistsError(f"{path} exists; choose another name, or add --overwrite{or_resume}.")
        if path.resolve() in kinds:
            raise FileExistsError(f"{path} is the {kinds[path.resolve()]} picture; choose another name for the result.")
    if gif and gif.resolve() == outputs[0].resolve():
        raise FileExistsError(f"{gif} cannot be both the picture and the film; choose another name for one of them.")


def open_photo(name, recipe):
    """The photo, decoded and refused if it does not fit, and the recipe with its size."""
    content = open_picture(source_of(name))
    recipe = replace(recipe, size=recipe.size or max(shape_of(content)))
    check_sides(name, shape_of(content), recipe.size, smallest_side(recipe.content_layers | recipe.style_layers))
    return content, recipe


def open_styles(options, recipe, content_shape=None):
    """The styles, decoded and refused if they do not fit; without a shape to a photo of any."""
    knobs = [{} for _ in options.styles]
    for option, (knob, *_) in STYLE_OPTIONS.items():
        values = vars(options)[knob] or []
        if option == "--stroke-scale" and len(values) == 1:
            values *= len(knobs)
        if values and len(values) != len(knobs):
            raise ValueError(f"{option} takes one value for each painting: {len(knobs)}, not {len(values)}.")
        for style, value in zip(knobs, values, strict=False):
            style[knob] = value
    needed, size = smallest_side(recipe.content_layers | recipe.style_layers), recipe.size or SIZE.highest
    styles = [Style(source_of(name), **style) for name, style in zip(options.styles, knobs, strict=True)]
    return [open_style(style, content_shape, size, needed) for style in styles]


def open_start(recipe):
    """What the run starts from, decoded if it is a picture."""
    return recipe.init if recipe.init in ("noise", "content") else open_picture(recipe.init)


def source_of(name):
    """What `open_picture` takes for the name of a picture."""
    return sys.stdin.buffer if name == "-" else name


def job_of(content, recipe, styles, start, output, options, resume):
    """A job, and all the arguments that make its picture what it is; `resume` lets it go on from its checkpoint."""
    arguments = {**asdict(recipe), "weights": options.weights, "pooling": options.pooling}
    del arguments["tile"]  # the picture is the same
    arguments |= {"shares": [style.share for style in styles], "stroke_scale": [style.scale for style in styles]}
    arguments |= {"match_colours": options.match_colours, "content picture": fingerprint(content)}
    for name, field in (("style", "image"), ("region", "region"), ("style region", "style_region")):
        pictures = [getattr(style, field) for style in styles]
        prints = [None if picture is None else fingerprint(picture) for picture in pictures]
        arguments[f"{name} picture"] = prints if any(prints) else None
    checkpoint, done = Checkpoint(output, arguments), 0
    if resume:
        start, done = checkpoint.load()
    return Job(content, replace(recipe, init=start), styles, output, checkpoint, done)


def stylise(job, options, vgg16, workers, stop, verbose=1):
    """Transfer the style, save what came out, and a checkpoint if the run can go on; return its history."""
    from nst_keras import plotting, to_pil

    frames, in_colours = [], functools.partial(_in_colours, job, options)
    film = [film_into(frames, in_colours)] if options.gif else []
    callbacks = [stop.hold, job.checkpoint.save_now_and_then, *film, stop]
    image, history = _transfer(job, options, vgg16, workers=workers, callbacks=callbacks, verbose=verbose)
    interrupted = history.params["stopped"] in ("interrupted", "workers lost")
    if interrupted and not history.epoch:
        raise KeyboardInterrupt
    can_go_on = interrupted and history.epoch[-1] < job.recipe.steps
    image = finish(job, image, options, keep_checkpoint=can_go_on)
    if can_go_on:
        with saving(job.checkpoint.path, "; the picture is saved, but the run cannot go on with --resume"):
            job.checkpoint.save()
    if options.gif:
        with saving(options.gif, "; the picture itself is saved"):
            plotting.save_animation(options.gif, [*frames, to_pil(image)])
    return history


def paint_for(job, options):
    """A task for a worker: transfer the style; return the image as an array, what stopped the run, and warnings."""
    from nst_keras.features import vgg16_once

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        image, history = _transfer(job, options, vgg16_once(options.weights, options.pooling), verbose=0)
    warned = [str(warning.message) for warning in caught if warning.category is UserWarning]
    return image.numpy(), history.params["stopped"], warned


def _transfer(job, options, vgg16, **how):
    from nst_keras import colours, transfer_style

    styles = job.styles
    if options.match_colours:
        styles = [replace(style, image=colours.match_colours(style.image, job.content)) for style in styles]
    return transfer_style(job.content, styles, recipe=job.recipe, initial_step=job.done, vgg16=vgg16, **how)


def finish(job, image, options, keep_checkpoint=False):
    """Save the picture in the colours that are asked for; the checkpoint has served its time. Return the picture."""
    image = _in_colours(job, options, image)
    save_somewhere(job.output, image)
    if not keep_checkpoint:
        job.checkpoint.path.unlink(missing_ok=True)
    return image


def _in_colours(job, options, image):
    from nst_keras import colours

    return colours.keep_colours(image, job.content) if options.keep_colours else image


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


def save_somewhere(output, image):
    """Save the picture; if its place has become impossible during the run, in the folder for temporary files."""
    from nst_keras import save_image

    try:
        save_image(output, image)
    except (OSError, ValueError) as error:
        fallback = Path(tempfile.mkdtemp()) / "stylised.png"
        save_image(fallback, image)
        raise OSError(f"{output} cannot be written ({error}); the picture is in {fallback}.") from error


@contextmanager
def saving(path, but):
    """Say which file cannot be written, and what that means."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{short(str(path))} cannot be written ({error.strerror or error}){but}.") from error
