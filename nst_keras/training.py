"""The loop that turns noise into a picture: from coarse to fine, step by step."""

import functools
import inspect
import warnings
from dataclasses import fields, replace

from nst_keras._tensorflow import keras, tf
from nst_keras.descent import NotFinite, check_optimizer, gradient_of, steps_of
from nst_keras.features import FeatureExtractor
from nst_keras.images import image_of, load_image, noise_image, resize_image
from nst_keras.memory import WHOLE, plan_memory
from nst_keras.objective import losses_of, targets_of
from nst_keras.pictures import fitted_shape, name_of, open_picture, shape_of
from nst_keras.progress import ProgressBar
from nst_keras.ranges import WholeNumber, check
from nst_keras.recipe import (
    HISTORY,
    MARGIN,
    NOISE_CONTRAST,
    Recipe,
    check_sides,
    plan_stages,
    recipe_from,
    remaining_stages,
    smallest_size,
)
from nst_keras.styles import open_style, styles_from
from nst_keras.tiles import passes_here, tiled_gradient, tiles_of
from nst_keras.workers import WORKERS_TILE, WorkersLost, passes_of


class StopTransfer(Exception):
    """A callback raises it to end the run; `transfer_style` returns the picture so far.

    Example:
        >>> def enough(step, losses, image):
        ...     if losses["total_loss"] < 1e9:
        ...         raise StopTransfer
        >>> image, history = transfer_style(content, style, size=64, callbacks=enough, verbose=0)
        >>> history.params["stopped"]
        'callback'
    """


def transfer_style(
    content, style, *, recipe=None, initial_step=0, callbacks=(), verbose=1, vgg16=None, workers=None, **knobs
):
    """Paint the content of one image in the style of another.

    The pixels of an image, at first random noise, are changed step by step so that the total loss
    α · content + β · style falls. Ctrl-C ends the run and still returns the picture so far; so does a loss
    that is no longer finite, or memory that runs out on the way, with a warning.

    Args:
        content: the content image, anything `load_image` takes.
        style: the style image, anything `load_image` takes; it is brought to the same longer side. Also a `Style`,
            with a region or the size of its strokes; a list of either; or {image: share}.
        recipe: a `Recipe`; None takes the defaults.
        initial_step: how many steps are done already, to continue an interrupted run; `init` is its last picture.
            The stage's last 15 are done again, in which L-BFGS gathers its memory anew.
        callbacks: a function or several, called after every step as callback(step, losses, image): step from 1,
            losses as {name: float}, image a tensor (1, height, width, 3) at the size of the stage. One that raises
            `StopTransfer` ends the run, and the picture so far is returned. Where a step is computed in tiles, a
            callback's method on_tile(what, number, count), if it has one, is called before each of them.
        verbose: 1 shows a progress bar with the losses and the remaining time, 0 shows nothing. A bar from
            `progress.new_bar` shows this run as one of several.
        vgg16: a model from `load_vgg16`; None loads the bundled one.
        workers: an executor, as of `concurrent.futures` or Dask's `Client.get_executor()`, whose workers compute the
            tiles of a picture that is larger than one; with tile="auto" a tile then has 512 pixels on each side. The
            picture is the same but for rounding.
        knobs: of a `Recipe`, in place of the recipe's own: size, content_weight (α), style_weight (β),
            total_variation_weight, content_layers, style_layers, init, optimizer, steps, coarse_to_fine, seed,
            tile. `help(Recipe)` explains them.

    Returns:
        (image, history): a tensor (1, height, width, 3) in [0, 1], and a `keras.callbacks.History` with
        history.epoch = the steps that were made (a stage that ends early leaves a gap), history.history =
        {loss name: value at every step} (total_loss, content_loss, style_loss, total_variation_loss,
        style_loss/<layer>; of several styles what each adds to style_loss: style_loss/1, style_loss/2 … in the order
        given; and size, the longer side) and history.params (steps, stages, and stopped: None,
        "interrupted", "callback", "diverged", "out of memory" or "workers lost").

    Raises:
        ValueError: if an argument makes no sense; TypeError: if there is no keyword of that name; FileNotFoundError:
            if a picture is missing; MemoryError: if `size` is more than the free memory allows, even in tiles;
            ConnectionError: if the workers are lost in the first step.

    Source:
        Gatys, Ecker, Bethge (2015), section 4; Gatys et al. (2017, arXiv 1611.07865), section 6, for coarse to fine.

    Example:
        >>> image, history = transfer_style("summer_palace", "great_wave", size=80, steps=4, verbose=0)
        >>> image.shape, history.epoch
        (TensorShape([1, 53, 80, 3]), [1, 2, 3, 4])
    """
    recipe = recipe_from(recipe, knobs)
    check("initial_step", initial_step, WholeNumber(0, recipe.steps))
    check_optimizer(recipe.optimizer)
    callbacks = _checked_callbacks(callbacks)
    extractor = FeatureExtractor(recipe.content_layers | recipe.style_layers, vgg16)
    run_pass = workers and passes_of(workers, extractor, recipe)
    picture, name = open_picture(content), name_of(content, "The content image")
    tile = WORKERS_TILE if workers and recipe.tile == "auto" else recipe.tile
    recipe = replace(recipe, size=recipe.size or max(shape_of(picture)), tile=tile)
    content = _image_at_size(picture, name, recipe.size, recipe.tile, extractor)
    styles = [_style_at_size(style, shape_of(picture), recipe, extractor) for style in styles_from(style)]
    plan = _plan_for([content, *(style.image for style in styles)], extractor, tile)
    shape = tuple(content.shape[1:3])
    stages = remaining_stages(plan_stages(*shape, recipe.steps, recipe.coarse_to_fine), initial_step)
    start = image = _starting_image(recipe, content, stages[0][:2])
    steps, records, stopped, trouble = [], [], None, None
    with ProgressBar(stages, verbose) as progress:
        if plan != WHOLE:
            progress.say(_in_tiles(plan, shape, extractor))
        try:
            show_tile = _before_each_tile(callbacks, progress)
            run = paint(extractor, content, styles, start, stages, recipe, plan, show_tile, run_pass)
            for step, losses, image in run:
                steps.append(step)
                records.append({**losses, "size": max(image.shape[1:3])})
                for callback in (*callbacks, progress.update):
                    callback(step, losses, image)
        except KeyboardInterrupt:
            stopped = "interrupted"
        except StopTransfer:
            stopped = "callback"
        except (NotFinite, WorkersLost, MemoryError, tf.errors.ResourceExhaustedError) as error:
            stopped, trouble, advice = _trouble(error)
    if trouble:  # said when the progress bar is closed
        if not records:
            raise type(trouble)(f"{trouble} in the first step. {advice}")
        place = f"after step {steps[-1]}: the picture of that step is kept"
        warnings.warn(f"{trouble} {place}. {advice}", stacklevel=2)
    elif recipe.optimizer != "lbfgs" and _share_of_extremes(image) > 0.5 >= _share_of_extremes(start):
        much = "More than half of the colours have become as light or as dark as can be"
        warnings.warn(f"{much}. Make the learning rate smaller.", stacklevel=2)
    return resize_image(image, shape), _history(steps, records, stages, stopped)


def paint(extractor, content, styles, image, stages, recipe, plan=WHOLE, show_tile=None, run_pass=None):
    """The run itself: a generator of (step, losses, image), through all stages.

    Args:
        extractor: a `FeatureExtractor` of the recipe's layers.
        content: image (1, height, width, 3) at full size.
        styles: list of `Style`, their pictures and masks images at full size too.
        image: where to start, of any size.
        stages: [(height, width, steps)], the last stages of the recipe's plan.
        recipe: a `Recipe`.
        plan: from `plan_memory`; a stage that is larger than its tiles is computed in tiles.
        show_tile, run_pass: as in `tiled_gradient`.
    """
    gradient = gradient_of(losses_of(extractor, styles, recipe))
    run_pass = run_pass or passes_here(extractor, recipe)
    done = recipe.steps - sum(stage_steps for *_, stage_steps in stages)
    for *stage_shape, stage_steps in stages:
        stage_styles = [_style_at_stage(style, stage_shape, extractor.smallest_side) for style in styles]
        pictures = extractor, _on_canvas(content, stage_shape), stage_styles, recipe
        canvas = _on_canvas(image, stage_shape)
        if max(max(picture.shape[1:3]) for picture in (canvas, *(style.image for style in stage_styles))) > plan.tile:
            evaluate = tiled_gradient(*pictures, plan.tile, show_tile, run_pass)
        else:
            evaluate = functools.partial(gradient, targets=targets_of(*pictures))
        run = steps_of(recipe.optimizer, evaluate, canvas, stage_steps, done, plan.history)
        for step, (canvas, losses) in enumerate(run, start=done + 1):
            image = canvas[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
            yield step, losses, image
        done += stage_steps


def _trouble(error):
    """How the run was stopped, what is said of it, and what to do."""
    if isinstance(error, NotFinite):
        return "diverged", ValueError(error), "Make the weights or the learning rate smaller."
    if isinstance(error, WorkersLost):
        return "workers lost", ConnectionError(error), "See to them, and start again."
    return "out of memory", MemoryError("Memory ran out"), "Choose a smaller size or tile."


def _before_each_tile(callbacks, progress):
    """A step in tiles takes long: a callback may end the run within it, too."""
    watching = [callback.on_tile for callback in callbacks if hasattr(callback, "on_tile")]

    def show_tile(*which):
        for watch in (*watching, progress.show_tile):
            watch(*which)

    return show_tile


def _plan_for(images, extractor, tile):
    plans = [plan_memory(*image.shape[1:3], extractor, tile) for image in images]
    return next((plan for plan in plans if plan != WHOLE), WHOLE)


def _in_tiles(plan, shape, extractor):
    """What is said of a picture that is painted in tiles."""
    count = len(tiles_of(*(side + 2 * MARGIN for side in shape), plan.tile, extractor))
    forgets = f", and L-BFGS remembers {plan.history} steps, not {HISTORY}" if plan.history < HISTORY else ""
    return f"{plan.why}painted in {count} tile{'s' * (count > 1)}{forgets}."


def _on_canvas(image, shape):
    rim = (MARGIN, MARGIN)
    return tf.pad(resize_image(image, shape), ((0, 0), rim, rim, (0, 0)), mode="SYMMETRIC")


def _style_at_stage(style, shape, layers_need):
    # A narrow style cannot be made as small as a coarse stage: nothing of it would be left at the deepest layer.
    own_shape = style.image.shape[1:3]
    size = max(round(style.scale * max(shape)), smallest_size(own_shape, layers_need))
    style_shape = fitted_shape(*own_shape, size)
    return replace(
        style,
        image=resize_image(style.image, style_shape),
        region=None if style.region is None else _on_canvas(style.region, shape),
        style_region=None if style.style_region is None else resize_image(style.style_region, style_shape),
    )


def _style_at_size(style, content_shape, recipe, extractor):
    """The style with images in place of its pictures."""
    style = open_style(style, content_shape, recipe.size, extractor.smallest_side)
    style_size = round(max(1, style.scale) * recipe.size)
    return replace(
        style,
        image=_image_at_size(style.image, "The style image", style_size, recipe.tile, extractor),
        region=None if style.region is None else load_image(style.region, recipe.size),
        style_region=None if style.style_region is None else load_image(style.style_region, style_size),
    )


def _image_at_size(picture, name, size, tile, extractor):
    """The image at this size; refused before it is enlarged, for that alone could fill the memory."""
    check_sides(name, shape_of(picture), size, extractor.smallest_side)
    plan_memory(*fitted_shape(*shape_of(picture), size), extractor, tile)
    return image_of(picture, size)


def _starting_image(recipe, content, shape):
    if isinstance(recipe.init, str) and recipe.init in ("noise", "content"):
        return content if recipe.init == "content" else noise_image(*shape, recipe.seed, NOISE_CONTRAST)
    picture = open_picture(recipe.init)
    return image_of(picture, min(recipe.size, max(shape_of(picture))))


def _share_of_extremes(image):
    """How many of the values are at an end of their range, 0 or 1."""
    return float(tf.reduce_mean(tf.cast(tf.abs(image - 0.5) == 0.5, image.dtype)))


def _checked_callbacks(callbacks):
    if callbacks is None:
        return ()
    callbacks = tuple(callbacks) if hasattr(callbacks, "__iter__") else (callbacks,)
    for callback in callbacks:
        if not callable(callback):
            of_keras = ", a callback for `model.fit`" if isinstance(callback, keras.callbacks.Callback) else ""
            raise ValueError(
                f"A callback is a function that is called as callback(step, losses, image), not "
                f"{type(callback).__name__}{of_keras}; one that raises StopTransfer ends the run."
            )
    return callbacks


def _history(steps, records, stages, stopped):
    history = keras.callbacks.History()
    history.epoch = steps
    history.history = {name: [losses[name] for losses in records] for name in (records[0] if records else ())}
    history.params = {"steps": len(records), "stages": stages, "stopped": stopped}
    return history


def _show_knobs(function):
    """Let Jupyter and `help` show the knobs of the recipe, with their defaults, in place of **knobs."""
    signature = inspect.signature(function)
    *parameters, _ = signature.parameters.values()
    parameters += [
        inspect.Parameter(knob.name, inspect.Parameter.KEYWORD_ONLY, default=knob.default) for knob in fields(Recipe)
    ]
    function.__signature__ = signature.replace(parameters=parameters)


_show_knobs(transfer_style)
