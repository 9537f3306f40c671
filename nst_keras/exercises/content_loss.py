"""Exercises of notebook 3: the content loss."""

import numpy as np

from nst_keras import losses
from nst_keras.exercises.check import Exercise, small_features


def _content_gradient(before, content):
    """dL/dZ of the content loss, Z the values before ReLU: F − P where Z > 0, else 0 (Gatys et al. 2015, eq. 2)."""
    return np.where(before > 0, before - content, np.float32(0))


def _gradient_step(image, gradient, rate):
    return np.clip(image - rate * gradient, 0, 1)


_F = np.array([[[[1, 2], [3, 0], [0, 4]]]], np.float32)
_P = np.array([[[[1, 0], [0, 1], [2, 1]]]], np.float32)

check_content_loss = Exercise(
    "content_loss",
    losses.content_loss,
    {
        "three positions, two channels": (_F, _P),
        "six positions, three channels": (small_features(2, 3, 3, seed=8), small_features(2, 3, 3, seed=9)),
        "a map and itself": (small_features(2, 2, 3, seed=10), small_features(2, 2, 3, seed=10)),
    },
    (
        ("the formula has a factor in front of the sum.", lambda f, p: np.sum((f - p) ** 2)),
        ("your factor in front of the sum isn't the one in the formula.", lambda f, p: np.sum((f - p) ** 2) / 4),
        (
            "this is a mean. The content loss is a sum, with a factor in front of it.",
            lambda f, p: np.mean((f - p) ** 2),
        ),
        ("you took the mean of the squares. The formula has their sum.", lambda f, p: np.mean((f - p) ** 2) / 2),
        (
            "you added the absolute differences. In the formula a large difference counts more than a few small ones.",
            lambda f, p: np.sum(np.abs(f - p)) / 2,
        ),
        ("this is the norm of the difference. The loss has no root.", lambda f, p: np.sqrt(np.sum((f - p) ** 2))),
        ("the order matters: subtract first, then square.", lambda f, p: np.sum(f**2 - p**2) / 2),
        ("your differences cancel, because the sum comes before the square.", lambda f, p: np.sum(f - p) ** 2 / 2),
        (
            "you still have one loss for each channel. Sum over positions and channels.",
            lambda f, p: np.sum((f - p) ** 2, axis=(0, 1, 2)) / 2,
        ),
        ("these are the terms of the loss. Now add them up.", lambda f, p: (f - p) ** 2 / 2),
        ("these are the squared differences. What does the formula do with them?", lambda f, p: (f - p) ** 2),
    ),
)

check_content_gradient = Exercise(
    "content_gradient",
    _content_gradient,
    {
        "two positions, two channels": (
            np.array([[[[1, 2], [3, -1]]]], np.float32),
            np.array([[[[2, 0], [0, 1]]]], np.float32),
        ),
        "six positions, three channels": (small_features(2, 3, 3, seed=11) - 2, small_features(2, 3, 3, seed=12)),
    },
    (
        (
            "every sign is flipped: this is the way the loss falls. The gradient points where it grows.",
            lambda before, content: -_content_gradient(before, content),
        ),
        (
            "every value is twice as large as it should be. What is the factor in front of the sum for?",
            lambda before, content: 2 * _content_gradient(before, content),
        ),
        (
            "where ReLU gives 0, a small change in its input changes nothing, so the gradient there is 0.",
            lambda before, content: np.maximum(before, 0) - content,
        ),
        (
            "you compared the values before ReLU with the features of the content image. Where ReLU gives 0, no "
            "gradient passes.",
            lambda before, content: before - content,
        ),
        (
            "you checked where the content image fires. The gradient passes through the ReLU of the generated image.",
            lambda before, content: np.where(content > 0, np.maximum(before, 0) - content, 0),
        ),
        (
            "it's the other way round: the gradient passes where the unit fires.",
            lambda before, content: np.where(before < 0, np.maximum(before, 0) - content, 0),
        ),
        (
            "ReLU acts on the features, not on the gradient: where a feature is too small, the gradient is negative.",
            lambda before, content: np.maximum(before - content, 0),
        ),
        (
            "right, except where the value before ReLU is exactly 0. The formula says which side 0 belongs to.",
            lambda before, content: np.where(before >= 0, before - content, 0),
        ),
    ),
)

check_gradient_step = Exercise(
    "gradient_step",
    _gradient_step,
    {
        "one pixel": (np.array([[[[0.5, 0.9, 0.1]]]], np.float32), np.array([[[[0.1, -2000, 2]]]], np.float32), 0.2),
        "six pixels": (small_features(2, 3, 3, seed=13) / 4, small_features(2, 3, 3, seed=14) - 2, 0.05),
    },
    (
        (
            "this step goes uphill. The gradient points where the loss grows.",
            lambda image, gradient, rate: np.clip(image + rate * gradient, 0, 1),
        ),
        ("some values have left the range of an image, 0 to 1.", lambda image, gradient, rate: image - rate * gradient),
        ("in this course white is 1, not 255.", lambda image, gradient, rate: np.clip(image - rate * gradient, 0, 255)),
        (
            "the rate is missing: the whole gradient is far too long a step.",
            lambda image, gradient, rate: np.clip(image - gradient, 0, 1),
        ),
        (
            "you divided by the rate. A small rate should give a small step.",
            lambda image, gradient, rate: np.clip(image - gradient / rate, 0, 1),
        ),
        (
            "no value is below 0 now, but some are still above 1.",
            lambda image, gradient, rate: np.maximum(image - rate * gradient, 0),
        ),
        (
            "no value is above 1 now, but some are still below 0.",
            lambda image, gradient, rate: np.minimum(image - rate * gradient, 1),
        ),
    ),
)
