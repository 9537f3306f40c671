"""Exercises of notebook 4: the style loss."""

import numpy as np

from nst_keras import losses
from nst_keras.exercises.check import Exercise, by_position, small_features


def _layer_shares(layer_losses, weights):
    return weights * layer_losses / np.sum(weights * layer_losses)


def _balanced_weights(layer_losses):
    return (1 / layer_losses) / np.sum(1 / layer_losses)


def _article_style_loss(generated, style, divisor=lambda n, m: 4 * n**2 * m**2, number=lambda d: np.sum(d**2)):
    """E_l as the article writes it, with the M of the generated image; `divisor` and `number` make the mistakes."""
    f, f_s = by_position(generated), by_position(style)
    m, n = np.float32(f.shape)
    return number(f.T @ f - f_s.T @ f_s) / divisor(n, m)


def _style_loss_over(divisor):
    return lambda generated, style: _article_style_loss(generated, style, divisor)


check_layer_style_loss = Exercise(
    "layer_style_loss",
    losses.layer_style_loss,
    {
        "five positions, three channels": (
            np.array([[[[1, 2, 0], [3, 0, 1], [0, 1, 0], [0, 0, 0], [0, 0, 0]]]], np.float32),
            np.array([[[[2, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 0], [0, 0, 0]]]], np.float32),
        ),
        "maps of 3×4, five channels": (small_features(3, 4, 5, seed=41), small_features(3, 4, 5, seed=42)),
        "maps of different sizes": (small_features(2, 3, 4, seed=43), small_features(3, 5, 4, seed=44)),
    },
    (
        (
            "you have the sum over the pairs of channels. What does the article divide it by?",
            _style_loss_over(lambda n, m: 1),
        ),
        ("the factor 4 in the denominator is missing.", _style_loss_over(lambda n, m: n**2 * m**2)),
        ("the number of channels N is missing in the denominator.", _style_loss_over(lambda n, m: 4 * m**2)),
        ("the number of positions M is missing in the denominator.", _style_loss_over(lambda n, m: 4 * n**2)),
        ("N and M both have an exponent in the denominator.", _style_loss_over(lambda n, m: 4 * n * m)),
        ("N has an exponent in the denominator.", _style_loss_over(lambda n, m: 4 * n * m**2)),
        ("M has an exponent in the denominator.", _style_loss_over(lambda n, m: 4 * n**2 * m)),
        (
            "Python divides by 4 and then multiplies by the rest. Put parentheses around the whole denominator.",
            _style_loss_over(lambda n, m: 4 / (n**2 * m**2)),
            _style_loss_over(lambda n, m: 4 * m**2 / n**2),
        ),
        (
            "you divided by N² twice. Perhaps you took a mean over the pairs of channels, or divided the Gram matrices "
            "by the total number of values. E_l is a sum, and its N² is already in the denominator.",
            _style_loss_over(lambda n, m: 4 * n**4 * m**2),
        ),
        (
            "you added the differences themselves, so positive and negative ones cancel.",
            lambda generated, style: _article_style_loss(generated, style, number=np.sum),
        ),
        (
            "you squared the sum of the differences. Square each difference first, then add them up.",
            lambda generated, style: _article_style_loss(generated, style, number=lambda d: np.sum(d) ** 2),
        ),
        (
            "you compared the features, position by position. Style compares their Gram matrices.",
            lambda generated, style: (
                np.sum((generated - style) ** 2) / (4 * np.float32(generated.size) ** 2)
                if generated.shape == style.shape
                else np.float32(np.nan)
            ),
        ),
        (
            "right when both maps have the same size. Here they differ, and each Gram matrix has its own number of "
            "positions.",
            _article_style_loss,
        ),
        (
            "right when both maps have the same size. Here they differ, and you divided both Gram matrices by the "
            "number of positions of the style image.",
            lambda generated, style: _article_style_loss(style, generated),
        ),
    ),
)

check_layer_shares = Exercise(
    "layer_shares",
    _layer_shares,
    {
        "two layers": (np.array([4, 10], np.float32), np.array([0.5, 2], np.float32)),
        "one layer switched off": (np.array([3, 5, 8], np.float32), np.array([0.75, 0, 0.25], np.float32)),
        "five layers": (np.array([1, 2, 3, 4, 5], np.float32), np.array([0.2, 0.2, 0.2, 0.2, 0.2], np.float32)),
    },
    (
        (
            "these are the shares with equal weights. Use the weights you get.",
            lambda layer_losses, weights: layer_losses / np.sum(layer_losses),
        ),
        (
            "these are the shares of the weights. The losses have a say, too.",
            lambda layer_losses, weights: weights / np.sum(weights),
        ),
        (
            "these are what the layers add to the style loss, but they don't sum to 1.",
            lambda layer_losses, weights: weights * layer_losses,
            lambda layer_losses, weights: weights * layer_losses / np.sum(layer_losses),
            lambda layer_losses, weights: weights * layer_losses / np.sum(weights),
        ),
        (
            "this is the style loss itself, one number. Which share of it comes from each layer?",
            lambda layer_losses, weights: np.sum(weights * layer_losses),
        ),
        (
            "right, but in percent. Return fractions, which sum to 1.",
            lambda layer_losses, weights: 100 * _layer_shares(layer_losses, weights),
        ),
    ),
)

check_balanced_weights = Exercise(
    "balanced_weights",
    _balanced_weights,
    {
        "two layers": (np.array([1, 3], np.float32),),
        "four layers": (np.array([2, 4, 8, 1], np.float32),),
        "orders of magnitude": (np.array([5e5, 1e9, 2e10, 3e9, 1e6], np.float32),),
    },
    (
        (
            "the products w_l · E_l are all equal, but the weights don't sum to 1.",
            lambda layer_losses: 1 / layer_losses,
            lambda layer_losses: 1 / (len(layer_losses) * layer_losses),
            lambda layer_losses: np.sum(layer_losses) / layer_losses,
            lambda layer_losses: np.mean(layer_losses) / layer_losses,
            lambda layer_losses: np.max(layer_losses) / layer_losses,
            lambda layer_losses: np.min(layer_losses) / layer_losses,
        ),
        (
            "it's the other way round: here the layer with the largest loss gets the largest weight.",
            lambda layer_losses: layer_losses / np.sum(layer_losses),
        ),
        (
            "these are equal weights. Multiply them by the losses: are the products equal?",
            lambda layer_losses: np.full_like(layer_losses, 1 / len(layer_losses)),
        ),
    ),
)
