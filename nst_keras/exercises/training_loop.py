"""Exercises of notebook 6: the training loop."""

import numpy as np

from nst_keras.exercises.check import Exercise, small_features


def _normalised_step(image, gradient, rate):
    return np.clip(image - rate * gradient / np.mean(np.abs(gradient)), 0, 1)


check_normalised_step = Exercise(
    "normalised_step",
    _normalised_step,
    {
        "one pixel": (np.array([[[[0.02, 0.5, 0.98]]]], np.float32), np.array([[[[4, -2, -6]]]], np.float32), 0.1),
        "a whole image": (small_features(3, 4, 3, seed=3) / 4, small_features(3, 4, 3, seed=4) - 1, 0.05),
    },
    (
        (
            "the loss would rise: the gradient points uphill.",
            lambda image, gradient, rate: _normalised_step(image, -gradient, rate),
        ),
        (
            "some values have left the range from 0 to 1, so they're no longer colours.",
            lambda image, gradient, rate: image - rate * gradient / np.mean(np.abs(gradient)),
        ),
        (
            "you divided by the largest slope. Use the mean instead, so that the average pixel moves by the rate.",
            lambda image, gradient, rate: np.clip(image - rate * gradient / np.max(np.abs(gradient)), 0, 1),
        ),
        (
            "you divided by the norm of the whole gradient, which grows with the number of pixels. The mean doesn't.",
            lambda image, gradient, rate: np.clip(image - rate * gradient / np.linalg.norm(gradient), 0, 1),
        ),
        (
            "you kept only the sign, so every pixel moves equally far. Here steeper slopes should go further.",
            lambda image, gradient, rate: np.clip(image - rate * np.sign(gradient), 0, 1),
        ),
        (
            "upward and downward slopes cancel in your mean. The sign of a slope doesn't say how steep it is.",
            lambda image, gradient, rate: np.clip(image - rate * gradient / np.mean(gradient), 0, 1),
        ),
        (
            "the step still grows with the gradient. Only its direction should count: divide by its size.",
            lambda image, gradient, rate: np.clip(image - rate * gradient, 0, 1),
        ),
    ),
)


def _first_adam_step(gradient, rate):
    return 0 - rate * gradient / (np.abs(gradient) + 1e-7)  # 0 −, because −rate · 0 would be shown as -0


def _first_adam_step_without_epsilon(gradient, rate):
    with np.errstate(invalid="ignore"):
        return -rate * gradient / np.abs(gradient)


check_first_adam_step = Exercise(
    "first_adam_step",
    _first_adam_step,
    {
        "three pixels": (np.array([4, -2, 0.5], np.float32), 0.02),
        "a large loss": (np.array([3e6, -5e4, 800], np.float32), 0.02),
        "a pixel without slope": (np.array([0, -7], np.float32), 0.1),
        "slopes as small as ε": (np.array([1e-7, -3e-7], np.float32), 0.1),
    },
    (
        (
            "v̂ is a mean of squares. What do you have to do to it before you can compare it with m̂?",
            lambda gradient, rate: -rate * gradient / (gradient**2 + 1e-7),
        ),
        (
            "m and v start at 0 and are still too small after one step. The formula has two lines that correct this.",
            lambda gradient, rate: -rate * 0.1 * gradient / (np.sqrt(0.001 * gradient**2) + 1e-7),
        ),
        ("this change goes uphill.", lambda gradient, rate: -_first_adam_step(gradient, rate)),
        (
            "right for all but the smallest slopes. Add ε to the root, not inside it.",
            lambda gradient, rate: -rate * gradient / np.sqrt(gradient**2 + 1e-7),
        ),
        (
            "right for all but the smallest slopes. Your ε has the wrong value.",
            lambda gradient, rate: -rate * gradient / (np.abs(gradient) + 1e-8),
            lambda gradient, rate: -rate * gradient / (np.abs(gradient) + 1e-6),
            lambda gradient, rate: -rate * gradient / (np.abs(gradient) + 1e-5),
        ),
        (
            "right for all but the smallest slopes. What does ε do to a slope as small as itself?",
            lambda gradient, rate: -rate * np.sign(gradient),
        ),
        ("0 divided by 0 is not a number. One letter of the formula prevents it.", _first_adam_step_without_epsilon),
        (
            "this is plain gradient descent: the change still grows with the gradient.",
            lambda gradient, rate: -rate * gradient,
        ),
    ),
)


def _stage_sizes(size, stages):
    return [round(size / 2 ** (stage / 2)) for stage in reversed(range(stages))]


check_stage_sizes = Exercise(
    "stage_sizes",
    _stage_sizes,
    {"400 pixels, 5 stages": (400, 5), "320 pixels, 4 stages": (320, 4), "one stage": (240, 1)},
    (
        (
            "your list goes from large to small. The run starts with the smallest picture.",
            lambda size, stages: _stage_sizes(size, stages)[::-1],
        ),
        (
            "your sides double from stage to stage. The number of pixels should double instead.",
            lambda size, stages: [round(size / 2**stage) for stage in reversed(range(stages))],
        ),
        (
            "you cut off the fraction. Take the nearest whole number.",
            lambda size, stages: [int(size / 2 ** (stage / 2)) for stage in reversed(range(stages))],
        ),
        (
            "your last stage doesn't reach the full size.",
            lambda size, stages: [round(size / 2 ** (stage / 2)) for stage in range(stages, 0, -1)],
        ),
    ),
)
