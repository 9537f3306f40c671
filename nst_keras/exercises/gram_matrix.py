"""Exercises of notebook 2: the Gram matrix."""

import numpy as np

from nst_keras import losses
from nst_keras.exercises.check import Exercise, by_position, small_features


def _cosine_gram(features):
    """The Gram matrix divided by the norms of both channels; 0 for a channel that never fires."""
    gram = by_position(features).T @ by_position(features)
    norms = np.sqrt(np.diag(gram))
    both = np.outer(norms, norms)
    return np.divide(gram, both, out=np.zeros_like(gram), where=both > 0)


def _centred_gram(features):
    centred = by_position(features) - by_position(features).mean(axis=0)
    return centred.T @ centred


def _correlation(features):
    return _cosine_gram(features - features.mean(axis=(0, 1, 2)))


def _scaled(features, channel, factor):
    features[..., channel] *= np.float32(factor)
    return features


def _cosine_gram_undefined(features):
    with np.errstate(invalid="ignore"):
        gram = losses.gram_matrix(features).numpy()
        return gram / np.outer(np.sqrt(np.diag(gram)), np.sqrt(np.diag(gram)))


def _gram_over(divisor):
    """The Gram matrix divided by a function of its own entries on the diagonal; silent channels give 0."""

    def wrong(features):
        gram = by_position(features).T @ by_position(features)
        by = np.broadcast_to(divisor(np.diag(gram)), gram.shape)
        return np.divide(gram, by, out=np.zeros_like(gram), where=by > 0)

    return wrong


check_gram_matrix = Exercise(
    "gram_matrix",
    losses.gram_matrix,
    {
        "three positions, two channels": (np.array([[[[1, 2], [3, 0], [0, 1]]]], np.float32),),
        "four positions, three channels": (small_features(2, 2, 3, seed=1),),
        "a wide map": (small_features(2, 5, 3, seed=2),),
    },
    (
        (
            "this matrix has a row for every position. The Gram matrix compares channels: transpose the other factor.",
            lambda features: by_position(features) @ by_position(features).T,
        ),
        (
            "you divided by the number of positions. The article's Gram matrix is a plain sum.",
            lambda features: by_position(features).T @ by_position(features) / by_position(features).shape[0],
        ),
        (
            "this is only the diagonal: every channel with itself. The other pairs of channels are missing.",
            lambda features: np.sum(by_position(features) ** 2, axis=0),
        ),
        (
            "your table mixes up channels and positions. The channels are the last axis: `reshape` must keep it last.",
            lambda features: features.reshape(features.shape[-1], -1) @ features.reshape(features.shape[-1], -1).T,
        ),
        ("you subtracted the mean of every channel. The Gram matrix isn't centred.", _centred_gram),
        (
            "these are cosines: you divided by the norms of the channels. The Gram matrix counts how strongly they "
            "fire.",
            _cosine_gram,
        ),
        (
            "these are correlations: you subtracted the means and divided by the standard deviations. The Gram matrix "
            "is a plain sum.",
            _correlation,
        ),
        (
            "you multiplied element by element. A matrix product also sums over positions.",
            lambda features: by_position(features) ** 2,
        ),
        (
            "this is one matrix for every row of the map. Sum over all positions: lay them out as one axis first.",
            lambda features: np.swapaxes(features, -1, -2) @ features,
        ),
    ),
)

check_mean_gram_matrix = Exercise(
    "mean_gram_matrix",
    losses.mean_gram_matrix,
    {
        "3×4 positions, two channels": (small_features(3, 4, 2, seed=3),),
        "a wide map of four channels": (small_features(2, 5, 4, seed=4),),
        "one position": (small_features(1, 1, 3, seed=5),),
    },
    (
        (
            "this is the Gram matrix itself. Its entries grow with the size of the image, so you still have to divide.",
            losses.gram_matrix,
        ),
        (
            "you divided by the number of channels. The sum runs over positions.",
            lambda features: losses.gram_matrix(features) / features.shape[-1],
        ),
        (
            "you divided by the total number of values. The sum runs only over positions, not over channels.",
            lambda features: losses.gram_matrix(features) / features.size,
        ),
        (
            "you divided by the square of the number of positions. That belongs to the style loss, where the "
            "Gram matrix is squared.",
            lambda features: losses.gram_matrix(features) / (features.shape[1] * features.shape[2]) ** 2,
        ),
        (
            "you divided by only one side of the map. How many positions does the whole map have?",
            lambda features: losses.gram_matrix(features) / features.shape[1],
            lambda features: losses.gram_matrix(features) / features.shape[2],
        ),
    ),
)

check_cosine_gram = Exercise(
    "cosine_gram",
    _cosine_gram,
    {
        "two channels of norms 5 and 13": (np.array([[[[3, 12], [4, 5]]]], np.float32),),
        "a wide map": (small_features(2, 4, 3, seed=6),),
        "a channel that never fires": (_scaled(small_features(3, 3, 3, seed=7), channel=1, factor=0),),
        "a channel that fires weakly": (_scaled(small_features(3, 3, 3, seed=7), channel=1, factor=0.01),),
    },
    (
        (
            "you divided by the squared norms. The diagonal of the Gram matrix holds squares: take the root.",
            _gram_over(lambda diagonal: np.outer(diagonal, diagonal)),
        ),
        (
            "you divided by the norm of only one of the two channels. The result should be symmetric.",
            _gram_over(lambda diagonal: np.sqrt(diagonal)[:, None]),
            _gram_over(lambda diagonal: np.sqrt(diagonal)[None, :]),
        ),
        ("this is the correlation: you subtracted the mean of every channel first. The cosine doesn't.", _correlation),
        (
            "a channel that never fires has the norm 0, and 0 / 0 is not a number. What should the entry be instead?",
            _cosine_gram_undefined,
        ),
        (
            "a weak channel has a norm too, and it may be below 1. Only a norm of 0 needs special care.",
            _gram_over(lambda diagonal: np.maximum(np.sqrt(np.outer(diagonal, diagonal)), 1)),
        ),
        (
            "this is the Gram matrix itself. Divide by the norms of the channels.",
            _gram_over(lambda diagonal: np.ones(())),
        ),
    ),
)
