"""The loop that turns noise into a picture: gradient on the pixels, from coarse to fine."""

import numbers
import os
import warnings
from functools import partial
from math import isfinite, log2

import numpy as np
import psutil
from PIL import Image
from tqdm import tqdm

from nst_keras._arguments import (
    CONTENT_LAYERS,
    LIGHTEST,
    MARGIN,
    STYLE_LAYERS,
    check_numbers,
    check_sides,
    layer_weights,
)
from nst_keras._tensorflow import keras, tf
from nst_keras.features import FeatureExtractor
from nst_keras.images import fitted_shape, load_image, open_picture, resize_image
from nst_keras.losses import (
    content_loss,
    gram_distance,
    mean_gram_matrix,
    total_loss,
    total_variation_loss,
    weighted_sum,
)

# Coarse to fine: each stage is √2 larger than the one before and gets 4/5 of its steps.
SMALLEST_SIDE = 40
STAGE_GROWTH = 2**0.5
STAGE_STEPS = 0.8
# L-BFGS remembers this many steps; its first one, without memory, moves the colours by 5 of 255 grey levels on average.
PAIRS = 10
FIRST_CHANGE = 0.02
# A resumed run has lost that memory, and the canvas around the picture. Its loss would end up to 22 % above that of a
# run without a break; it is none the worse when this many steps of the stage are done again.
REPEATED = 15
# For the bytes of a number in VGG16: what it keeps for the gradient, and L-BFGS of the past ones. Measured at 1024×683
# and 2048×1367 pixels in 16 and 32 bits; for 64 bits twice that.
BYTES_PER_PIXEL = {2: 2300, 4: 2700, 8: 5400}


def transfer_style(
    content,
    style,
    *,
    size=400,
    content_weight=1.0,
    style_weight=0.2,
    total_variation_weight=0.0,
    content_layers=CONTENT_LAYERS,
    style_layers=STYLE_LAYERS,
    init="noise",
    optimizer="lbfgs",
    steps=400,
    initial_step=0,
    coarse_to_fine=True,
    seed=0,
    callbacks=(),
    verbose=1,
    vgg16=None,
):
    """Paint the content of one image in the style of another.

    The pixels of an image, at first random noise, are changed step by step so that the total loss
    α · content + β · style falls. Ctrl-C ends the run and still returns the picture so far; so does a loss
    that is no longer finite, with a warning.

    Args:
        content: the content image, anything `load_image` takes.
        style: the style image, anything `load_image` takes; it is brought to the same longer side.
        size: longer side of the result in pixels.
        content_weight: α. 0 leaves the content out: a texture of the style.
        style_weight: β. 0 leaves the style out: a reconstruction of the content.
        total_variation_weight: how much smoothness counts; 0, as in the article, switches it off.
        content_layers: name of the content layer, names of several, or {name: weight}.
        style_layers: name of a style layer, names of several, or {name: weight}. Names alone get the
            same weight each, and a sum of 1.
        init: what the generated image starts from: "noise", "content", or an image.
        optimizer: "lbfgs", "adam", or a Keras optimizer (for pixels in [0, 1]; only its settings are used).
        steps: number of steps, over all stages together.
        initial_step: how many of them are done already, to continue an interrupted run; `init` is its last picture.
            The stage's last 15 are done again, in which L-BFGS gathers its memory anew.
        coarse_to_fine: start small and enlarge stage by stage; False runs all steps at full size.
        seed: of the noise. The same seed on the same machine gives the same picture.
        callbacks: functions called after every step as callback(step, losses, image): step from 1, losses as
            {name: float}, image a tensor (1, height, width, 3) at the size of the stage.
        verbose: 1 shows a progress bar with the losses and the remaining time, 0 shows nothing.
        vgg16: a model from `load_vgg16`; None loads the bundled one.

    Returns:
        (image, history): a tensor (1, height, width, 3) in [0, 1], and a `keras.callbacks.History` with
        history.history = {loss name: value at every step} (total_loss, content_loss, style_loss,
        total_variation_loss, style_loss/<layer>; and size, the longer side) and history.params
        (steps, stages, and stopped: None, "interrupted" or "diverged").

    Raises:
        ValueError: if an argument makes no sense; FileNotFoundError: if a picture is missing; MemoryError: if
            `size` is more than the free memory allows.

    Source:
        Gatys, Ecker, Bethge (2015), section 4; Gatys et al. (2017, arXiv 1611.07865), section 6, for coarse to fine.

    Example:
        >>> image, history = transfer_style("summer_palace", "great_wave", size=80, steps=4, verbose=0)
        >>> image.shape, history.epoch
        (TensorShape([1, 53, 80, 3]), [1, 2, 3, 4])
    """
    check_numbers(
        content_weight=content_weight,
        style_weight=style_weight,
        total_variation_weight=total_variation_weight,
        content_layers=content_layers,
        style_layers=style_layers,
        steps=steps,
        seed=seed,
    )
    content_layers, style_layers = layer_weights(content_layers), layer_weights(style_layers)
    if not isinstance(initial_step, numbers.Integral) or not 0 <= initial_step <= steps:
        raise ValueError(f"initial_step must be a whole number from 0 to {steps}, not {initial_step!r}.")
    optimizer = _checked_optimizer(optimizer)
    extractor = FeatureExtractor(content_layers | style_layers, vgg16)
    content = _loaded(content, "The content image", size, extractor)
    style = _loaded(style, "The style image", size, extractor)

    shape = tuple(content.shape[1:3])
    stages = _stages_left(plan_stages(*shape, steps, coarse_to_fine), initial_step)
    initial_step = steps - sum(stage_steps for *_, stage_steps in stages)
    image = _starting_image(init, content, stages[0][:2], seed)
    if verbose:
        callbacks = [*callbacks, _progress_bar(stages)]
    records, stopped = [], None

    def report(canvas, losses):
        nonlocal image
        image = canvas[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
        records.append({**losses, "size": max(image.shape[1:3])})
        for callback in callbacks:
            callback(initial_step + len(records), losses, image)

    try:
        for *stage_shape, stage_steps in stages:
            objective = make_objective(
                extractor,
                _on_canvas(content, stage_shape),
                resize_image(style, fitted_shape(*style.shape[1:3], max(stage_shape))),
                content_weight=content_weight,
                style_weight=style_weight,
                total_variation_weight=total_variation_weight,
                content_layers=content_layers,
                style_layers=style_layers,
            )
            minimise = _minimise_lbfgs if optimizer == "lbfgs" else partial(_minimise_keras, optimizer)
            minimise(_evaluator(objective), _on_canvas(image, stage_shape), stage_steps, report)
    except KeyboardInterrupt:
        stopped = "interrupted"
    except _NotFinite as error:
        advice = "Make the weights or the learning rate smaller."
        if not records:
            raise ValueError(f"{error} in the first step. {advice}") from None
        stopped = "diverged"
        step = initial_step + len(records)
        warnings.warn(f"{error} after step {step}: the picture of that step is kept. {advice}", stacklevel=2)
    return resize_image(image, shape), _history(records, initial_step, stages, stopped)


def make_objective(
    extractor,
    content,
    style,
    *,
    content_weight=1.0,
    style_weight=0.2,
    total_variation_weight=0.0,
    content_layers=CONTENT_LAYERS,
    style_layers=STYLE_LAYERS,
):
    """Compute the targets of both images once, and return the losses as a function of the generated image.

    Args:
        extractor: a `FeatureExtractor` of all the layers below.
        content: content image, shape (1, height, width, 3); the generated image has its size.
        style: style image, shape (1, any height, any width, 3).
        content_weight, style_weight, total_variation_weight, content_layers, style_layers: as in `transfer_style`.

    Returns:
        Function of an image (1, height, width, 3) that gives {loss name: scalar tensor}. Its content loss is
        divided by the number of positions of the layer: a sum grows with the area and E_l does not, so
        this is what keeps the balance of α and β the same at every size.

    Example:
        >>> objective = make_objective(FeatureExtractor(CONTENT_LAYERS + STYLE_LAYERS), content, style)
        >>> float(objective(content)["content_loss"])
        0.0
    """
    content_layers, style_layers = layer_weights(content_layers), layer_weights(style_layers)
    content_features, style_features = extractor(content), extractor(style)
    content_targets = {layer: content_features[layer] for layer in content_layers}
    style_targets = {layer: mean_gram_matrix(style_features[layer]) for layer in style_layers}

    def losses(image):
        features = extractor(image)
        content_losses = {
            layer: content_loss(features[layer], target) / (target.shape[1] * target.shape[2])
            for layer, target in content_targets.items()
        }
        style_losses = {
            layer: gram_distance(mean_gram_matrix(features[layer]), target) for layer, target in style_targets.items()
        }
        content = weighted_sum(content_losses, content_layers)
        style = weighted_sum(style_losses, style_layers)
        variation = tf.cast(total_variation_loss(image), style.dtype)  # Keras may be set to float64
        total = total_loss(content, style, content_weight, style_weight) + total_variation_weight * variation
        by_layer = {f"style_loss/{layer}": loss for layer, loss in style_losses.items()}
        named = {"total_loss": total, "content_loss": content, "style_loss": style, "total_variation_loss": variation}
        return named | by_layer

    return losses


def noise_image(height, width, seed=0):
    """Uniform random noise, what the generated image starts from.

    Args:
        height, width: in pixels.
        seed: the same seed gives the same noise, on every machine.

    Returns:
        float32 tensor of shape (1, height, width, 3), values in [0, 1].

    Example:
        >>> noise_image(2, 3).shape
        TensorShape([1, 2, 3, 3])
    """
    return tf.constant(np.random.default_rng(seed).random((1, height, width, 3), np.float32))


def plan_stages(height, width, steps, coarse_to_fine=True):
    """Divide the steps over sizes that grow to (height, width).

    Returns:
        List of (height, width, steps) from the coarsest stage to the finest.

    Example:
        >>> plan_stages(100, 150, steps=100)
        [(50, 75, 41), (71, 106, 33), (100, 150, 26)]
    """
    shapes = [(height, width)]
    while coarse_to_fine and len(shapes) < steps:
        shrink = STAGE_GROWTH ** len(shapes)
        smaller = round(height / shrink), round(width / shrink)
        if min(smaller) < SMALLEST_SIDE:
            break
        shapes.insert(0, smaller)
    shares = STAGE_STEPS ** np.arange(len(shapes))
    spare = (steps - len(shapes)) * np.cumsum(shares) / np.sum(shares)  # every stage has at least one step
    counts = 1 + np.diff(np.rint(spare), prepend=0).astype(int)
    return [(*shape, int(count)) for shape, count in zip(shapes, counts, strict=True)]


def _stages_left(stages, done):
    left = []
    for stage in stages:
        *shape, steps = stage
        skipped = min(done, steps)
        done -= skipped
        if skipped < steps or stage is stages[-1]:
            left.append((*shape, steps - max(0, skipped - REPEATED)))
    return left


class _NotFinite(ArithmeticError):
    pass


def _evaluator(objective):
    """The step: losses as floats, and the gradient of the total loss with respect to the pixels."""

    @tf.function(autograph=False)  # there is nothing in it to translate
    def losses_and_gradient(image):
        with tf.GradientTape() as tape:
            tape.watch(image)
            losses = objective(image)
        return losses, tape.gradient(losses["total_loss"], image)

    def evaluate(image):
        # Asked for in this way, TensorFlow does not warn that every stage needs a function of its own.
        losses, gradient = losses_and_gradient.get_concrete_function(image)(image)
        losses = {name: float(loss) for name, loss in losses.items()}
        if not isfinite(losses["total_loss"]):
            raise _NotFinite(f"The total loss became {losses['total_loss']}")
        return losses, gradient

    return evaluate


def _minimise_lbfgs(evaluate, image, steps, report):
    """L-BFGS (Nocedal and Wright 2006, "Numerical Optimization", section 7.2) on pixels kept in [0, 1]."""
    losses, gradient = evaluate(image)
    unit = _unit(gradient)
    gradient *= unit
    pairs = []
    while steps > 0:
        free = tf.where(gradient > 0, image > 0, image < 1)  # the others are at a bound, and pushed against it
        direction = _downhill(tf.where(free, gradient, 0.0), pairs)
        for reach in 0.5 ** np.arange(8):
            candidate = tf.clip_by_value(image + reach * tf.where(free, direction, 0.0), 0.0, 1.0)
            change = candidate - image
            new_losses, new_gradient = evaluate(candidate)
            new_gradient *= unit
            if new_losses["total_loss"] < losses["total_loss"] + 1e-4 * float(_dot(gradient, change)) / unit:
                break
        else:
            if not pairs:
                return  # even straight downhill nothing is lower: this is the minimum, within rounding
            pairs.clear()
            continue
        bend = new_gradient - gradient
        if _dot(change, bend) > 0:  # else the loss is no valley here, and its curvature no guide
            pairs = [*pairs[1 - PAIRS :], (change, bend)]
        image, losses, gradient = candidate, new_losses, new_gradient
        steps -= 1
        report(image, losses)


def _unit(gradient):
    """A power of two that brings the gradient to about 1: with weights like 1e20 its squares leave float32's range."""
    return 0.5 ** round(log2(max(float(tf.reduce_max(tf.abs(gradient))), LIGHTEST)))


def _downhill(gradient, pairs):
    """−H · gradient, with the curvature H that the last changes of image and gradient tell (algorithm 7.4)."""
    if not pairs:
        return tf.math.divide_no_nan(-FIRST_CHANGE * gradient, tf.reduce_mean(tf.abs(gradient)))
    direction, shares = -gradient, []
    for change, bend in reversed(pairs):
        shares.append(_dot(change, direction) / _dot(change, bend))
        direction -= shares[-1] * bend
    change, bend = pairs[-1]
    direction *= _dot(change, bend) / _dot(bend, bend)
    for (change, bend), share in zip(pairs, reversed(shares), strict=True):
        direction += (share - _dot(bend, direction) / _dot(change, bend)) * change
    return direction


def _dot(a, b):
    return tf.tensordot(a, b, axes=4)


def _minimise_keras(optimizer, evaluate, image, steps, report):
    optimizer = optimizer.from_config(optimizer.get_config())  # every stage has pixels, and so moments, of its own
    pixels = tf.Variable(image)
    _, gradient = evaluate(image)
    for _ in range(steps):
        optimizer.apply_gradients([(gradient, pixels)])
        pixels.assign(tf.clip_by_value(pixels, 0.0, 1.0))
        image = tf.convert_to_tensor(pixels)
        losses, gradient = evaluate(image)
        report(image, losses)


def _starting_image(init, content, shape, seed):
    if not isinstance(init, str):
        return load_image(init)
    if init == "noise":
        return noise_image(*shape, seed)
    return content if init == "content" else load_image(init)


def _on_canvas(image, shape):
    rim = (MARGIN, MARGIN)
    return tf.pad(resize_image(image, shape), ((0, 0), rim, rim, (0, 0)), mode="SYMMETRIC")


def _progress_bar(stages):
    def work(height, width):  # a step takes about as long as the canvas has pixels
        return (height + 2 * MARGIN) * (width + 2 * MARGIN)

    total = sum(steps * work(height, width) for height, width, steps in stages)
    bar_format = "{percentage:3.0f} % {bar:10} {elapsed}, {remaining} left{postfix}"
    bar = tqdm(total=total, bar_format=bar_format, mininterval=1, dynamic_ncols=True)

    def update(step, losses, image):
        height, width = image.shape[1:3]
        values = (f"{name} {losses[name + '_loss']:.3g}" for name in ("total", "content", "style"))
        bar.set_postfix_str(f"{width}×{height} step {step}: {', '.join(values)}", refresh=False)
        bar.update(work(height, width))

    return update


def _history(records, initial_step, stages, stopped):
    history = keras.callbacks.History()
    history.epoch = list(range(initial_step + 1, initial_step + len(records) + 1))
    history.history = {name: [losses[name] for losses in records] for name in (records[0] if records else ())}
    history.params = {"steps": len(records), "stages": stages, "stopped": stopped}
    return history


def _checked_optimizer(optimizer):
    if optimizer == "adam":
        return keras.optimizers.Adam(learning_rate=0.02)  # 5 of 255 grey levels a step
    if optimizer == "lbfgs" or isinstance(optimizer, keras.optimizers.Optimizer):
        return optimizer
    raise ValueError(f'optimizer is "lbfgs", "adam" or a keras.optimizers.Optimizer, not {optimizer!r}.')


def _loaded(source, what, size, extractor):
    """The image at this size; refused before it is enlarged, for that alone could fill the memory."""
    name = os.fspath(source) if isinstance(source, str | os.PathLike) else what
    if isinstance(source, str | os.PathLike | bytes | bytearray | Image.Image):
        source = open_picture(source)
        shape = source.height, source.width
    else:
        source = load_image(source)
        shape = tuple(source.shape[1:3])
    check_sides(name, shape, size, extractor.smallest_side)
    _check_memory(*fitted_shape(*shape, size), tf.as_dtype(extractor.model.layers[-1].compute_dtype).size)
    return load_image(source, size)


def _check_memory(height, width, number_bytes):
    needed = BYTES_PER_PIXEL[number_bytes] * (height + 2 * MARGIN) * (width + 2 * MARGIN)
    free = psutil.virtual_memory().available
    if needed > free:
        largest = int(max(height, width) * (free / needed) ** 0.5)
        raise MemoryError(
            f"A picture of {width}×{height} pixels needs about {needed / 1e9:.1f} GB of memory, and "
            f"{free / 1e9:.1f} GB are free. size={largest} would fit."
        )
