"""Exercises of notebook 5: the total loss."""

import numpy as np

from nst_keras import losses
from nst_keras.exercises.check import Exercise, small_features


def _pixels(image):
    return np.float32(image.shape[1] * image.shape[2])


def _squared_steps(image, distance=np.square):
    """The steps down and the steps right of total variation, squared, one by one."""
    return distance(image[:, 1:] - image[:, :-1]), distance(image[:, :, 1:] - image[:, :, :-1])


def _total_variation(image, distance=np.square):
    down, right = _squared_steps(image, distance)
    return (np.sum(down) + np.sum(right)) / _pixels(image)


def _balanced_content_loss(generated, content):
    return losses.content_loss(generated, content) / _pixels(content)


def _half_square_sum(generated, content):
    return np.sum((generated - content) ** 2) / np.float32(2)


def _mostly_zero(height, width, channels, *values):
    features = np.zeros((1, height, width, channels), np.float32)
    features.flat[: len(values)] = values
    return features


check_total_loss = Exercise(
    "total_loss",
    losses.total_loss,
    {
        "content 3, style 5, α 2, β 10": (3.0, 5.0, 2.0, 10.0),
        "α 0, a texture": (4.0, 7.0, 0.0, 0.5),
        "β 0, a reconstruction": (4.0, 7.0, 1.5, 0.0),
        "losses of the usual size": (1e7, 5e7, 1.0, 0.2),
    },
    (
        (
            "α and β are swapped. Which of them belongs to the content?",
            lambda content, style, alpha, beta: alpha * style + beta * content,
        ),
        ("the style has its own weight too.", lambda content, style, alpha, beta: alpha * content + style),
        ("the content has its own weight too.", lambda content, style, alpha, beta: content + beta * style),
        ("both weights are missing.", lambda content, style, alpha, beta: content + style),
        (
            "you multiplied the two parts, so a loss of 0 in one of them would hide the other.",
            lambda content, style, alpha, beta: alpha * content * beta * style,
        ),
        (
            "you divided by the sum of the weights. The article uses the weights as they are.",
            lambda content, style, alpha, beta: (alpha * content + beta * style) / (alpha + beta),
        ),
    ),
)

check_balanced_content_loss = Exercise(
    "balanced_content_loss",
    _balanced_content_loss,
    {
        "maps of 3×5, four channels, with two values that differ, by 2 and by 4": (
            _mostly_zero(3, 5, 4, 1, 4),
            _mostly_zero(3, 5, 4, 3, 0),
        ),
        "maps of 3×4, two channels": (small_features(3, 4, 2, seed=51), small_features(3, 4, 2, seed=52)),
        "maps of 2×5, three channels": (small_features(2, 5, 3, seed=53), small_features(2, 5, 3, seed=54)),
    },
    (
        (
            "this is the article's content loss. On a map twice as high and twice as wide it's four times as large.",
            _half_square_sum,
        ),
        (
            "you divided by the number of channels as well. It's the same at every size, so it needs no correction.",
            lambda generated, content: _half_square_sum(generated, content) / content.size,
        ),
        (
            "you divided by only one side of the map. The loss grows with both.",
            lambda generated, content: _half_square_sum(generated, content) / content.shape[1],
            lambda generated, content: _half_square_sum(generated, content) / content.shape[2],
        ),
        (
            "Python divides by one side and then multiplies by the other. Put both into parentheses.",
            lambda generated, content: _half_square_sum(generated, content) / content.shape[1] * content.shape[2],
        ),
        (
            "you divided by the number of channels. It's the same at every size; it's the positions that grow.",
            lambda generated, content: _half_square_sum(generated, content) / content.shape[3],
        ),
        (
            "this is the mean over all values. Divide by the positions only, and keep the article's factor.",
            lambda generated, content: np.mean((generated - content) ** 2),
        ),
        (
            "the article's content loss has a factor that's missing here.",
            lambda generated, content: 2 * _balanced_content_loss(generated, content),
        ),
        (
            "you divided by M². That belongs to the style loss, where each of the two Gram matrices brings its own M.",
            lambda generated, content: _balanced_content_loss(generated, content) / _pixels(content),
        ),
    ),
)

check_total_variation = Exercise(
    "total_variation",
    losses.total_variation_loss,
    {
        "two rows, three columns": (np.array([[[[1], [3], [0]], [[0], [6], [2]]]], np.float32),),
        "one colour everywhere": (np.full((1, 3, 4, 3), 0.5, np.float32),),
        "3×5 pixels, three channels": (small_features(3, 5, 3, seed=55),),
    },
    (
        (
            "you took the absolute values of the differences. Here we square them.",
            lambda image: _total_variation(image, np.abs),
        ),
        (
            "this is the sum, and it grows with the size of the image. Divide it by the number of pixels.",
            lambda image: np.sum(_squared_steps(image)[0]) + np.sum(_squared_steps(image)[1]),
        ),
        (
            "you also compared the last row or column with the first, as np.roll does. Those pixels aren't neighbours.",
            lambda image: sum(np.sum((image - np.roll(image, 1, axis)) ** 2) for axis in (1, 2)) / _pixels(image),
        ),
        (
            "the differences to the right are missing. (Axis 0 is the batch; without one np.diff takes the channels.)",
            lambda image: np.sum(np.diff(image, axis=1) ** 2) / _pixels(image),
        ),
        (
            "the differences downwards are missing. (Axis 0 is the batch; without an axis np.diff takes the channels.)",
            lambda image: np.sum(np.diff(image, axis=2) ** 2) / _pixels(image),
        ),
        (
            "without an axis np.diff takes the last one, the channels. Neighbours lie in the same channel.",
            lambda image: 2 * np.sum(np.diff(image) ** 2) / _pixels(image),
        ),
        (
            "there are fewer differences than pixels, and np.mean divided by their number. Divide by the pixels.",
            lambda image: np.mean(_squared_steps(image)[0]) + np.mean(_squared_steps(image)[1]),
        ),
        (
            "right for one channel. A pixel is a pixel, however many channels it has.",
            lambda image: _total_variation(image) / np.float32(image.shape[-1]),
        ),
    ),
)
