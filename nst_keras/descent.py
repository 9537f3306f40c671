"""How an image moves: the gradient on its pixels, and ways downhill as generators of (image, losses), step by step.

`evaluate(image)` gives the losses as {name: float} and the gradient of the total loss. A generator yields after every
step; to stop, just stop asking.
"""

import functools
from contextlib import contextmanager, suppress
from math import isfinite, log2

import numpy as np

from nst_keras._tensorflow import call_at_any_size, keras, tf
from nst_keras.recipe import HISTORY, OPTIMIZERS

# The first step of L-BFGS, which has no memory yet, moves the colours by 5 of 255 grey levels on average.
FIRST_STEP = 0.02
# Where L-BFGS knows nothing of the curvature yet, it goes by a smoothed gradient: this much of the gradient itself, and
# once each blurred by so many pixels (standard deviation). Else single pixels would move first, and shapes later.
GRAIN = 0.2
BLURS = 1, 3
STRIP = 1024  # pixels that are blurred at a time: the matrix that does it grows with their square
TRIALS = 8  # of a step, each half as long as the one before
ADAM_RATE = 0.02  # 5 of 255 grey levels a step
LEAST = 1e-30  # a gradient smaller than this is none


class NotFinite(ArithmeticError):
    """The loss or its gradient is infinite or not a number, and no shorter step helps."""


def gradient_of(objective):
    """The function that gives the losses of an image, and the gradient of the total loss on its pixels.

    Args:
        objective: function of an image (1, height, width, 3) that gives {loss name: scalar tensor}, with a total_loss;
            or function of an image and targets, as `losses_of` gives one.

    Returns:
        Function of an image, or of an image and targets, that gives ({loss name: float}, gradient of the image's
        shape). TensorFlow compiles it anew for every size of an image; with targets, once for all sizes.

    Example:
        >>> evaluate = gradient_of(lambda image: {"total_loss": tf.reduce_sum(image**2)})
        >>> losses, gradient = evaluate(tf.constant([[[[1.0, 2.0, 3.0]]]]))
        >>> losses, gradient.numpy().tolist()
        ({'total_loss': 14.0}, [[[[2.0, 4.0, 6.0]]]])
    """
    names = []

    @tf.function(autograph=False)  # no Python control flow to convert
    def values_and_gradient(image, *targets):
        with tf.GradientTape() as tape:
            tape.watch(image)
            losses = objective(image, *targets)
        names[:] = losses
        # One tensor of all values: every value that is read by itself would keep a GPU waiting.
        return tf.stack(list(losses.values())), tape.gradient(losses["total_loss"], image)

    def evaluate(image, targets=None):
        if targets is not None:  # then nothing else has a size
            values, gradient = call_at_any_size(values_and_gradient, image, targets)
        else:  # asked for in this way, TensorFlow does not warn that every size needs a function of its own
            values, gradient = values_and_gradient.get_concrete_function(image)(image)
        return dict(zip(names, values.numpy().tolist(), strict=True)), gradient

    return evaluate


def steps_of(optimizer, evaluate, image, steps, steps_before=0, history=HISTORY):
    """The steps of the chosen optimizer: a generator of (image, losses).

    Args:
        optimizer: "lbfgs", "adam", or a Keras optimizer.
        evaluate: a function from `gradient_of`.
        image: where to start, shape (1, height, width, 3), values in [0, 1].
        steps: how many at the most.
        steps_before: how many the run has made at smaller sizes: a learning rate schedule goes on from there.
        history: how many steps L-BFGS remembers.
    """
    if optimizer == "lbfgs":
        return lbfgs(evaluate, image, steps, history)
    if optimizer == "adam":
        optimizer = keras.optimizers.Adam(learning_rate=ADAM_RATE)
    return keras_steps(optimizer, evaluate, image, steps, steps_before)


def check_optimizer(optimizer):
    """Refuse what is no optimizer, before a run."""
    if optimizer not in OPTIMIZERS if isinstance(optimizer, str) else not isinstance(optimizer, keras.Optimizer):
        raise ValueError(f'optimizer is "lbfgs", "adam" or a keras.optimizers.Optimizer, not {optimizer!r}.')


def lbfgs(evaluate, image, steps, history=HISTORY):
    """L-BFGS (Nocedal and Wright 2006, "Numerical Optimization", section 7.2) on pixels kept in [0, 1].

    Args, yields: as `steps_of`. Ends before its steps are done where no step downhill lowers the loss.

    Raises:
        NotFinite: if the loss or the gradient is not finite at the start.
    """
    losses, gradient = evaluate(image)
    _check_finite(losses, gradient)
    unit = _unit(gradient)
    gradient *= unit
    pairs = []
    while steps > 0:
        free = tf.where(gradient > 0, image, 1 - image) > 0  # the others are at a bound, and pushed against it
        direction = tf.where(free, downhill(tf.where(free, gradient, 0.0), pairs), 0.0)
        for trial in range(TRIALS):
            candidate = tf.clip_by_value(image + 0.5**trial * direction, 0.0, 1.0)
            # A step must end below this. We don't keep the change meanwhile: it's one more image in memory.
            lowest = losses["total_loss"] + 1e-4 * float(_dot(gradient, candidate - image)) / unit
            new_losses, new_gradient = evaluate(candidate)
            new_gradient *= unit
            # NaN fails every comparison, so a step that is too long for float32 is shortened too.
            if new_losses["total_loss"] < lowest and isfinite(_largest(new_gradient)):
                break
        else:
            if not pairs:
                return  # even straight downhill nothing is lower: this is the minimum, within rounding
            pairs.clear()
            continue
        change, gradient_change = candidate - image, new_gradient - gradient
        if _dot(change, gradient_change) > 0:  # else there is no positive curvature: skip the pair
            pairs = [*pairs[1 - history :], (change, gradient_change)]
        image, losses, gradient = candidate, new_losses, new_gradient
        steps -= 1
        yield image, losses


def downhill(gradient, pairs):
    """−H · gradient, with H, the inverse Hessian estimated from recent steps (Nocedal and Wright, algorithm 7.4).

    `pairs` are the recent steps as (change of the image, change of the gradient), oldest first. Without any the
    direction is straight downhill, smoothed, scaled to a mean change of `FIRST_STEP`.
    """
    if not pairs:
        direction = -smoothed(gradient)
        return tf.math.divide_no_nan(FIRST_STEP * direction, tf.reduce_mean(tf.abs(direction)))
    direction, alphas = -gradient, []
    for change, gradient_change in reversed(pairs):
        alphas.append(_dot(change, direction) / _dot(change, gradient_change))
        direction -= alphas[-1] * gradient_change
    change, gradient_change = pairs[-1]
    direction = smoothed(direction) * _dot(change, gradient_change) / _dot(gradient_change, smoothed(gradient_change))
    for (change, gradient_change), alpha in zip(pairs, reversed(alphas), strict=True):
        direction += (alpha - _dot(gradient_change, direction) / _dot(change, gradient_change)) * change
    return direction


def smoothed(gradient):
    """The gradient with its grain made fainter: the first guess at H, a symmetric and positive definite matrix.

    Every shape can be moved by it, large ones faster than single pixels, so the picture is left with less noise.
    """
    height, halo, strips = gradient.shape[1], 6 * max(BLURS), []
    for start in range(0, height, STRIP - 2 * halo):  # else a large picture would be in memory several times
        first, stop = max(0, start - halo), min(height, start + STRIP - 2 * halo)
        seen = gradient[:, first : stop + halo]
        result = GRAIN * seen
        for sigma in BLURS:
            result += _blurred(_blurred(seen, sigma, 1), sigma, 2)
        strips.append(result[:, start - first : stop - first])
    return tf.concat(strips, axis=1)


def _blurred(image, sigma, axis):
    """Blurred along an axis, in strips, so that the matrix stays small. What is 6 σ away no longer counts."""
    side, formula, pieces = image.shape[axis], {1: "ki,bklc->bilc", 2: "lj,bilc->bijc"}[axis], []
    for start in range(0, side, STRIP):
        first, end = max(0, start - 6 * sigma), min(side, start + STRIP + 6 * sigma)
        bells = _bells(end - first, sigma)[:, start - first : min(side, start + STRIP) - first]
        strip = image[:, first:end] if axis == 1 else image[:, :, first:end]
        pieces.append(tf.einsum(formula, tf.constant(bells, image.dtype), strip))
    return tf.concat(pieces, axis)


@functools.lru_cache(maxsize=16)  # every step asks for the same ones
def _bells(side, sigma):
    """A matrix that blurs along a side: row i holds the normal distribution round position i."""
    away = np.arange(side) - np.arange(side)[:, None]
    return np.exp(-0.5 * (away / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))


def keras_steps(optimizer, evaluate, image, steps, steps_before=0):
    """The steps of a Keras optimizer, its pixels kept in [0, 1]. Args, yields: as `steps_of`.

    Raises:
        NotFinite: if the loss or the gradient is no longer finite.
    """
    pixels = tf.Variable(image)
    losses, gradient = evaluate(image)
    _check_finite(losses, gradient)
    with _for_these_pixels(optimizer, pixels, steps_before) as optimizer:
        for step in range(1, steps + 1):
            # Only an optimizer with a loss scale multiplies here; it divides again when it applies the gradient.
            optimizer.apply_gradients([(optimizer.scale_loss(gradient), pixels)])
            if step == steps:
                optimizer.finalize_variable_values([pixels])  # the averaged pixels, where the optimizer averages
            pixels.assign(tf.clip_by_value(pixels, 0.0, 1.0))
            image = tf.convert_to_tensor(pixels)
            losses, gradient = evaluate(image)
            _check_finite(losses, gradient)
            yield image, losses


class _GoesOn(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate schedule that goes on where the smaller sizes have left it."""

    def __init__(self, schedule, steps_before):
        self.schedule, self.steps_before = schedule, steps_before

    def __call__(self, step):
        return self.schedule(step + self.steps_before)


@contextmanager
def _for_these_pixels(optimizer, pixels, steps_before):
    """The optimizer, made ready for pixels of a new size; the caller's own is left, or given back, as it was.

    Its moments belong to pixels, so every size needs new ones. Keras copies most optimizers; one that it cannot copy
    (a class or a schedule that is not registered, a function as learning rate) is used itself, as `model.fit` does.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    rate, ready = inner._learning_rate, optimizer
    if not callable(rate) or type(rate).__module__.startswith("keras."):  # else Keras warns, or fails
        with suppress(Exception):  # Keras raises NotImplementedError, TypeError, ValueError …
            ready = optimizer.from_config(optimizer.get_config())
    inner = getattr(ready, "inner_optimizer", ready)
    if ready is optimizer:
        for part in (ready, inner):
            part.built = False
            part._iterations.assign(0)  # new moments: what corrects their bias must count from 0
    has_schedule = isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)
    try:
        if has_schedule:
            inner.learning_rate = _GoesOn(rate, steps_before)
        ready.build([pixels])
        yield ready
    finally:
        if has_schedule:
            inner.learning_rate = rate


def _check_finite(losses, gradient):
    if not isfinite(losses["total_loss"]):
        raise NotFinite(f"The total loss became {losses['total_loss']}")
    if not isfinite(_largest(gradient)):
        raise NotFinite("The gradient of the total loss left the range of float32")


def _largest(gradient):
    return float(tf.reduce_max(tf.abs(gradient)))


def _unit(gradient):
    """A power of two that brings the gradient to about 1: with weights like 1e20 its squares leave float32's range."""
    return 0.5 ** round(log2(max(_largest(gradient), LEAST)))


def _dot(a, b):
    return tf.reduce_sum(a * b)
