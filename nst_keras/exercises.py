"""Checks for the exercises in the notebooks: they try a learner's function, and answer in words that help.

An exercise is a reference (the package's own function), cases to try, and the mistakes people usually make, each with
a hint. A wrong answer that equals one of those mistakes gets its hint; no check ever shows the solution.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nst_keras import losses


@dataclass(frozen=True)
class Mistake:
    """A usual mistake: the function that makes it (or stops like it), and the hint for who made it."""

    hint: str
    function: Callable


@dataclass(frozen=True)
class Exercise:
    """One exercise. Calling it with the learner's function gives a `Verdict`."""

    name: str
    reference: Callable
    cases: dict[str, tuple]  # description → arguments; arrays are NumPy arrays of float32
    mistakes: tuple[Mistake, ...]

    def __call__(self, answer):
        if not callable(answer):
            way = f"check_{self.name}(my_{self.name})"
            return Verdict(False, f"✗ {self.name}: hand over the function itself, without brackets: {way}.")
        for case, arguments in self.cases.items():
            problem = self._problem(answer, arguments)
            if problem:
                return Verdict(False, f"✗ {self.name}, {case}: {problem}")
        return Verdict(True, f"✓ {self.name}: all {len(self.cases)} cases agree.")

    def _problem(self, answer, arguments):
        expected = np.asarray(self.reference(*_copies(arguments)))
        given = _copies(arguments)
        result = _outcome(answer, given)
        if isinstance(result, Exception):
            problem = f"your function stopped with {type(result).__name__}: {result}"
            hint = self._hint(result, arguments)
            return f"{problem.rstrip('.')}. {hint}" if hint else problem
        if result is None:
            return "your function returned None. Fill it in, and return the result."
        if not all(map(_equal, given, arguments)):
            return "your function changed its input. Work on a new array: the caller still needs the old one."
        returned, result = result, _outcome(np.asarray, [result])
        if isinstance(result, Exception):  # a list of tensors of different shapes, for instance
            return f"expected {_form(expected.shape)}, but the parts of your {type(returned).__name__} differ in shape."
        if result.dtype.kind not in "fiub":
            return f"expected numbers, but your function returned {_kind(returned)}."
        if expected.dtype.kind == "f" and result.dtype not in (np.float32, np.float64):
            return f"expected float32, but your result has the dtype {result.dtype}. Keep the dtype of the input."
        if result.shape == expected.shape and np.allclose(result, expected, rtol=1e-4, atol=1e-6):
            return None
        return f"{_comparison(result, expected)} {self._hint(result, arguments)}".strip()

    def _hint(self, result, arguments):
        for mistake in self.mistakes:
            if _same(result, _outcome(mistake.function, _copies(arguments))):
                return f"Hint: {mistake.hint}"
        return ""


@dataclass(frozen=True)
class Verdict:
    """What a check answers: true if the answer is right; the notebook shows its message."""

    passed: bool
    message: str

    def __bool__(self):
        return self.passed

    def __repr__(self):
        return self.message


def _copies(arguments):
    return [np.copy(value) if isinstance(value, np.ndarray) else value for value in arguments]


def _equal(one, other):
    return np.array_equal(one, other) if isinstance(other, np.ndarray) else one == other


def _outcome(function, arguments):
    """What a function returns, or what it stops with."""
    try:
        return function(*arguments)
    except Exception as error:  # whatever the learner's code does
        return error


def _same(result, wrong):
    if isinstance(result, Exception) or isinstance(wrong, Exception):
        return repr(result) == repr(wrong)
    wrong = np.asarray(wrong)
    return wrong.shape == result.shape and np.allclose(result, wrong, rtol=1e-4, atol=1e-6, equal_nan=True)


def _kind(value):
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    name = type(value).__name__
    inside = " with something else in it" if isinstance(value, list | tuple) else ""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}{inside}"


def _form(shape):
    return f"numbers of the shape {shape}" if shape else "one number"


def _comparison(result, expected):
    if result.shape != expected.shape:
        return f"expected {_form(expected.shape)}, but your result has the shape {result.shape}."
    where = np.unravel_index(np.argmax(np.abs(result - expected)), expected.shape)
    place = "" if not where else f" at {tuple(map(int, where))}" if len(where) > 1 else f" at position {where[0]}"
    return f"expected {expected[where]:.6g}{place}, but got {result[where]:.6g}."


def _features(height, width, channels, seed):
    """Small whole numbers, so that a learner can follow the sums by hand."""
    return np.random.default_rng(seed).integers(0, 5, (1, height, width, channels)).astype(np.float32)


def _by_position(features):
    return features.reshape(-1, features.shape[-1])


# 01: features

_BGR_MEANS = np.array([103.939, 116.779, 123.68], np.float32)  # of ImageNet's training pictures


def _preprocess(image):
    return image[..., ::-1] * np.float32(255) - _BGR_MEANS


def _feature_shape(height, width, poolings, channels):
    return height // 2**poolings, width // 2**poolings, channels


def _receptive_field(layers, kernel_adds=lambda kernel: kernel - 1, next_step=lambda step, stride: step * stride):
    field, step = 1, 1
    for kernel, stride in layers:
        field += kernel_adds(kernel) * step
        step = next_step(step, stride)
    return field


def _receptive_field_stepping_first(layers):
    field, step = 1, 1
    for kernel, stride in layers:
        step *= stride
        field += (kernel - 1) * step
    return field


_ORANGE = np.array([[[[1.0, 0.5, 0.0]]]], np.float32)

check_preprocess = Exercise(
    "preprocess",
    _preprocess,
    {
        "one orange pixel": (_ORANGE,),
        "red, green, blue and white": (np.array([[[[1, 0, 0], [0, 1, 0]], [[0, 0, 1], [1, 1, 1]]]], np.float32),),
    },
    (
        Mistake(
            "the network was trained on values from 0 to 255, and its means are given on that scale.",
            lambda image: image[..., ::-1] - _BGR_MEANS,
        ),
        Mistake(
            "your channels are still in the order red, green, blue; the network and its means begin with blue.",
            lambda image: image * np.float32(255) - _BGR_MEANS,
        ),
        Mistake(
            "the result is still RGB: its first channel should be blue.",
            lambda image: image * np.float32(255) - _BGR_MEANS[::-1],
        ),
        Mistake(
            "every channel got the mean of another colour. Put both into the same order.",
            lambda image: image[..., ::-1] * np.float32(255) - _BGR_MEANS[::-1],
        ),
        Mistake(
            "your means were added. Afterwards the average picture should be near zero.",
            lambda image: image[..., ::-1] * np.float32(255) + _BGR_MEANS,
        ),
        Mistake(
            "the means are still to be subtracted.",
            lambda image: image[..., ::-1] * np.float32(255),
        ),
    ),
)

check_relu = Exercise(
    "relu",
    lambda before: np.maximum(before, 0),
    {
        "one position, four channels": (np.array([[[[-3, 0, 2, 7]]]], np.float32),),
        "nine positions, two channels": (_features(3, 3, 2, seed=3) - 2,),
    },
    (
        Mistake("a negative value should become zero, not positive.", np.abs),
        Mistake("you kept the values below zero and dropped those above.", lambda before: np.minimum(before, 0)),
        Mistake(
            "you say where a unit fires. ReLU also keeps how strongly it does.",
            lambda before: (before > 0).astype(np.float32),
        ),
        Mistake("a large value stays as large as it is.", lambda before: np.clip(before, 0, 6)),
        Mistake(
            "`max` and `if` ask about the whole array at once. Here every element is to be compared with 0 on its own.",
            lambda before: max(0, before),
        ),
        Mistake(
            "`np.max` looks for the one largest value. Here every element is to be compared with 0 on its own.",
            lambda before: np.max(0, before),
        ),
    ),
)

check_feature_shape = Exercise(
    "feature_shape",
    _feature_shape,
    {
        "224×224 pixels, 3 poolings, 512 channels": (224, 224, 3, 512),
        "267 rows, 400 columns, 2 poolings, 256 channels": (267, 400, 2, 256),
    },
    (
        Mistake(
            "the second pooling halves what the first has already halved.",
            lambda height, width, poolings, channels: (height // (2 * poolings), width // (2 * poolings), channels),
        ),
        Mistake(
            "rows come first, then columns.",
            lambda height, width, poolings, channels: (width // 2**poolings, height // 2**poolings, channels),
        ),
        Mistake(
            "the channels come last, as Keras keeps them.",
            lambda height, width, poolings, channels: (channels, *_feature_shape(height, width, poolings, 0)[:2]),
        ),
        Mistake(
            "there is no part of a unit: a row or column that finds no partner is dropped.",
            lambda height, width, poolings, channels: (height / 2**poolings, width / 2**poolings, channels),
        ),
        Mistake(
            "a row or column that finds no partner is dropped, not kept.",
            lambda height, width, poolings, channels: (-(-height // 2**poolings), -(-width // 2**poolings), channels),
        ),
    ),
)

check_receptive_field = Exercise(
    "receptive_field",
    _receptive_field,
    {
        "one convolution": (((3, 1),),),
        "two convolutions": (((3, 1), (3, 1)),),
        "a convolution, a pooling, two convolutions": (((3, 1), (2, 2), (3, 1), (3, 1)),),
        "two blocks": (((3, 1), (3, 1), (2, 2), (3, 1), (3, 1), (2, 2), (3, 1)),),
        "kernels and strides of other sizes": (((5, 1), (7, 2), (1, 1), (3, 1)),),
    },
    (
        Mistake(
            "before the first layer a unit is a pixel, and a pixel sees itself.",
            lambda layers: _receptive_field(layers) - 1,
        ),
        Mistake(
            "neighbouring windows overlap: count only the pixels that a layer adds.",
            lambda layers: sum(kernel for kernel, stride in layers),
        ),
        Mistake(
            "after a pooling, neighbouring units are two pixels apart, and a kernel reaches further.",
            lambda layers: 1 + sum(kernel - 1 for kernel, stride in layers),
        ),
        Mistake(
            "a window is measured with the step of its input. The layer's own stride counts from the next layer on.",
            _receptive_field_stepping_first,
        ),
        Mistake(
            "you counted the pixel that was there before the layer once more.",
            lambda layers: _receptive_field(layers, kernel_adds=lambda kernel: kernel),
        ),
        Mistake(
            "a layer of stride 1 doesn't undo the poolings before it.",
            lambda layers: _receptive_field(layers, next_step=lambda step, stride: stride),
        ),
        Mistake(
            "right for the layers of VGG16. Elsewhere a kernel has another size, and the list says which.",
            lambda layers: _receptive_field([(3 if stride == 1 else 2, stride) for _, stride in layers]),
        ),
    ),
)


# 02: Gram matrix


def _cosine_gram(features):
    """The Gram matrix divided by the lengths of both channels; 0 for a channel that never fires."""
    gram = _by_position(features).T @ _by_position(features)
    length = np.sqrt(np.diag(gram))
    both = np.outer(length, length)
    return np.divide(gram, both, out=np.zeros_like(gram), where=both > 0)


def _centred_gram(features):
    centred = _by_position(features) - _by_position(features).mean(axis=0)
    return centred.T @ centred


def _correlation(features):
    gram = _centred_gram(features)
    deviation = np.sqrt(np.diag(gram))
    both = np.outer(deviation, deviation)
    return np.divide(gram, both, out=np.zeros_like(gram), where=both > 0)


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
        gram = _by_position(features).T @ _by_position(features)
        by = np.broadcast_to(divisor(np.diag(gram)), gram.shape)
        return np.divide(gram, by, out=np.zeros_like(gram), where=by > 0)

    return wrong


check_gram_matrix = Exercise(
    "gram_matrix",
    losses.gram_matrix,
    {
        "three positions, two channels": (np.array([[[[1, 2], [3, 0], [0, 1]]]], np.float32),),
        "four positions, three channels": (_features(2, 2, 3, seed=1),),
        "a wide map": (_features(2, 5, 3, seed=2),),
    },
    (
        Mistake(
            "this matrix has a row for every position. The Gram matrix compares channels: the other factor is the "
            "one to transpose.",
            lambda features: _by_position(features) @ _by_position(features).T,
        ),
        Mistake(
            "you divided by the number of positions. The article's Gram matrix is a plain sum.",
            lambda features: _by_position(features).T @ _by_position(features) / _by_position(features).shape[0],
        ),
        Mistake(
            "this is only the diagonal, every channel with itself. The other pairs of channels are missing.",
            lambda features: np.sum(_by_position(features) ** 2, axis=0),
        ),
        Mistake(
            "your table mixes channels and positions. The channels are the last axis: `reshape` must keep it last.",
            lambda features: features.reshape(features.shape[-1], -1) @ features.reshape(features.shape[-1], -1).T,
        ),
        Mistake(
            "you subtracted the mean of every channel. The Gram matrix is not centred.",
            _centred_gram,
        ),
        Mistake(
            "these are cosines: you divided by the lengths of the channels. The Gram matrix counts how strongly they "
            "fire.",
            _cosine_gram,
        ),
        Mistake(
            "these are correlations, without the means and divided by the deviations. The Gram matrix is the plain "
            "sum.",
            _correlation,
        ),
        Mistake(
            "you multiplied element by element. A matrix product also sums over the positions.",
            lambda features: _by_position(features) ** 2,
        ),
        Mistake(
            "this is one matrix for every row of the map. Sum over all positions: lay them out as one axis first.",
            lambda features: np.swapaxes(features, -1, -2) @ features,
        ),
    ),
)

check_mean_gram_matrix = Exercise(
    "mean_gram_matrix",
    losses.mean_gram_matrix,
    {
        "3×4 positions, two channels": (_features(3, 4, 2, seed=3),),
        "a wide map of four channels": (_features(2, 5, 4, seed=4),),
        "one position": (_features(1, 1, 3, seed=5),),
    },
    (
        Mistake(
            "this is the Gram matrix itself. Its entries grow with the size of the image: the division is missing.",
            losses.gram_matrix,
        ),
        Mistake(
            "you divided by the number of channels. The sum runs over positions.",
            lambda features: losses.gram_matrix(features) / features.shape[-1],
        ),
        Mistake(
            "you divided by the number of all values. The sum runs over positions only, not over channels.",
            lambda features: losses.gram_matrix(features) / features.size,
        ),
        Mistake(
            "you divided by the square of the number of positions. That belongs to the style loss, where the "
            "Gram matrix is squared.",
            lambda features: losses.gram_matrix(features) / (features.shape[1] * features.shape[2]) ** 2,
        ),
        Mistake(
            "you divided by the height of the map. How many positions does the whole map have?",
            lambda features: losses.gram_matrix(features) / features.shape[1],
        ),
        Mistake(
            "you divided by the width of the map. How many positions does the whole map have?",
            lambda features: losses.gram_matrix(features) / features.shape[2],
        ),
    ),
)

check_cosine_gram = Exercise(
    "cosine_gram",
    _cosine_gram,
    {
        "two channels of lengths 5 and 13": (np.array([[[[3, 12], [4, 5]]]], np.float32),),
        "a wide map": (_features(2, 4, 3, seed=6),),
        "a channel that never fires": (_scaled(_features(3, 3, 3, seed=7), channel=1, factor=0),),
        "a channel that fires weakly": (_scaled(_features(3, 3, 3, seed=7), channel=1, factor=0.01),),
    },
    (
        Mistake(
            "you divided by the squared lengths. The diagonal of the Gram matrix holds the squares: take the root.",
            _gram_over(lambda diagonal: np.outer(diagonal, diagonal)),
        ),
        Mistake(
            "you divided by the length of one of the two channels only; the result should be symmetric.",
            _gram_over(lambda diagonal: np.sqrt(diagonal)[:, None]),
        ),
        Mistake(
            "you divided by the length of one of the two channels only; the result should be symmetric.",
            _gram_over(lambda diagonal: np.sqrt(diagonal)[None, :]),
        ),
        Mistake(
            "this is the correlation: you subtracted the mean of every channel first. The cosine doesn't.",
            _correlation,
        ),
        Mistake(
            "a channel that never fires has the length 0, and 0 / 0 is not a number. What should stand there instead?",
            _cosine_gram_undefined,
        ),
        Mistake(
            "a weak channel has a length as well, and it may be below 1. Only a length of 0 needs special care.",
            _gram_over(lambda diagonal: np.maximum(np.sqrt(np.outer(diagonal, diagonal)), 1)),
        ),
        Mistake(
            "this is the Gram matrix itself. Divide by the lengths of the channels.",
            _gram_over(lambda diagonal: np.ones(())),
        ),
    ),
)


# 03: content loss


def _content_gradient(before, content):
    """dL/dx of the content loss, x the values before ReLU: F − P where x > 0, else 0 (Gatys et al. 2015, eq. 2)."""
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
        "six positions, three channels": (_features(2, 3, 3, seed=8), _features(2, 3, 3, seed=9)),
        "a map and itself": (_features(2, 2, 3, seed=10), _features(2, 2, 3, seed=10)),
    },
    (
        Mistake("the formula has a factor in front of the sum.", lambda f, p: np.sum((f - p) ** 2)),
        Mistake("the factor in front of the sum is another one.", lambda f, p: np.sum((f - p) ** 2) / 4),
        Mistake(
            "this is a mean. The content loss is a sum, with a factor in front of it.",
            lambda f, p: np.mean((f - p) ** 2),
        ),
        Mistake("you took the mean over the differences, not the sum.", lambda f, p: np.mean((f - p) ** 2) / 2),
        Mistake(
            "this adds the sizes of the differences. In the formula a large difference counts more than several small "
            "ones.",
            lambda f, p: np.sum(np.abs(f - p)) / 2,
        ),
        Mistake(
            "this is the length of the difference. The loss has no root.",
            lambda f, p: np.sqrt(np.sum((f - p) ** 2)),
        ),
        Mistake("the order matters: subtract first, then square.", lambda f, p: np.sum(f**2 - p**2) / 2),
        Mistake(
            "your differences cancel, because the sum comes before the square.",
            lambda f, p: np.sum(f - p) ** 2 / 2,
        ),
        Mistake(
            "there is a loss for every channel left. Sum over positions and over channels.",
            lambda f, p: np.sum((f - p) ** 2, axis=(0, 1, 2)) / 2,
        ),
        Mistake("these are the parts of the loss. Add them up.", lambda f, p: (f - p) ** 2 / 2),
        Mistake(
            "these are the squares of the differences. What does the formula do with them?", lambda f, p: (f - p) ** 2
        ),
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
        "six positions, three channels": (_features(2, 3, 3, seed=11) - 2, _features(2, 3, 3, seed=12)),
    },
    (
        Mistake(
            "every sign is turned round: this is the direction in which the loss falls. The gradient points where it "
            "grows.",
            lambda before, content: -_content_gradient(before, content),
        ),
        Mistake(
            "every value is twice too large. What is the factor in front of the sum for?",
            lambda before, content: 2 * _content_gradient(before, content),
        ),
        Mistake(
            "where ReLU gives 0, a small change of the value before it changes nothing, so the gradient there is 0.",
            lambda before, content: np.maximum(before, 0) - content,
        ),
        Mistake(
            "you compared the values before ReLU with the features of the content image. Where ReLU gives 0, no "
            "gradient passes.",
            lambda before, content: before - content,
        ),
        Mistake(
            "you asked where the content image fires. The gradient passes through the ReLU of the generated image.",
            lambda before, content: np.where(content > 0, np.maximum(before, 0) - content, 0),
        ),
        Mistake(
            "the other way round: the gradient passes where the unit is on.",
            lambda before, content: np.where(before < 0, np.maximum(before, 0) - content, 0),
        ),
        Mistake(
            "ReLU acts on the features, not on the gradient: where a feature is too small, the gradient is negative.",
            lambda before, content: np.maximum(before - content, 0),
        ),
        Mistake(
            "right but for a value of exactly 0 before ReLU. The formula says which side 0 belongs to.",
            lambda before, content: np.where(before >= 0, before - content, 0),
        ),
    ),
)

check_gradient_step = Exercise(
    "gradient_step",
    _gradient_step,
    {
        "one pixel": (np.array([[[[0.5, 0.9, 0.1]]]], np.float32), np.array([[[[0.1, -2000, 2]]]], np.float32), 0.2),
        "six pixels": (_features(2, 3, 3, seed=13) / 4, _features(2, 3, 3, seed=14) - 2, 0.05),
    },
    (
        Mistake(
            "this step climbs. The gradient points where the loss grows.",
            lambda image, gradient, rate: np.clip(image + rate * gradient, 0, 1),
        ),
        Mistake(
            "some values have left the range of an image, 0 to 1.",
            lambda image, gradient, rate: image - rate * gradient,
        ),
        Mistake(
            "in this course white is 1, not 255.",
            lambda image, gradient, rate: np.clip(image - rate * gradient, 0, 255),
        ),
        Mistake(
            "the rate is missing: the whole gradient is far too long a step.",
            lambda image, gradient, rate: np.clip(image - gradient, 0, 1),
        ),
        Mistake(
            "you divided by the rate. A small rate should give a small step.",
            lambda image, gradient, rate: np.clip(image - gradient / rate, 0, 1),
        ),
        Mistake(
            "no value is below 0 any more, but some are above 1.",
            lambda image, gradient, rate: np.maximum(image - rate * gradient, 0),
        ),
        Mistake(
            "no value is above 1 any more, but some are below 0.",
            lambda image, gradient, rate: np.minimum(image - rate * gradient, 1),
        ),
    ),
)


# 04: style loss


def _weighted_sum(layer_losses, weights):
    return np.sum(weights * layer_losses)


def _equal_say(layer_losses):
    return (1 / layer_losses) / np.sum(1 / layer_losses)


def _article_style_loss(generated, style, divisor=lambda n, m: 4 * n**2 * m**2, number=lambda d: np.sum(d**2)):
    """E_l in the article's own words, with the M of the generated image, and with places for mistakes."""
    f, p = _by_position(generated), _by_position(style)
    m, n = np.float32(f.shape)
    return number(f.T @ f - p.T @ p) / divisor(n, m)


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
        "maps of 3×4, five channels": (_features(3, 4, 5, seed=41), _features(3, 4, 5, seed=42)),
        "maps of different size": (_features(2, 3, 4, seed=43), _features(3, 5, 4, seed=44)),
    },
    (
        Mistake(
            "this is the bare sum over the pairs of channels. What does the article divide it by?",
            _style_loss_over(lambda n, m: 1),
        ),
        Mistake("the factor 4 in the denominator is missing.", _style_loss_over(lambda n, m: n**2 * m**2)),
        Mistake("the number of channels N is missing in the denominator.", _style_loss_over(lambda n, m: 4 * m**2)),
        Mistake("the number of positions M is missing in the denominator.", _style_loss_over(lambda n, m: 4 * n**2)),
        Mistake("N and M stand in the denominator with an exponent.", _style_loss_over(lambda n, m: 4 * n * m)),
        Mistake("N stands in the denominator with an exponent.", _style_loss_over(lambda n, m: 4 * n * m**2)),
        Mistake("M stands in the denominator with an exponent.", _style_loss_over(lambda n, m: 4 * n**2 * m)),
        Mistake(
            "Python divides by 4 and then multiplies by the rest. Put the whole denominator into parentheses.",
            _style_loss_over(lambda n, m: 4 / (n**2 * m**2)),
        ),
        Mistake(
            "Python divides by 4 and then multiplies by the rest. Put the whole denominator into parentheses.",
            _style_loss_over(lambda n, m: 4 * m**2 / n**2),
        ),
        Mistake(
            "you divided by N² twice. A mean over the pairs of channels does so, and so does a Gram matrix divided by "
            "the number of all values; E_l is a sum, and its N² is in the denominator already.",
            _style_loss_over(lambda n, m: 4 * n**4 * m**2),
        ),
        Mistake(
            "you added the differences themselves, so that positive and negative ones cancel.",
            lambda generated, style: _article_style_loss(generated, style, number=np.sum),
        ),
        Mistake(
            "you squared the sum of the differences. Square each of them, then add.",
            lambda generated, style: _article_style_loss(generated, style, number=lambda d: np.sum(d) ** 2),
        ),
        Mistake(
            "you compared the features, position by position. Style compares their Gram matrices.",
            lambda generated, style: (
                np.sum((generated - style) ** 2) / (4 * np.float32(generated.size) ** 2)
                if generated.shape == style.shape
                else np.float32(np.nan)
            ),
        ),
        Mistake(
            "right where both maps have the same size. Here they differ: every Gram matrix has its own number of "
            "positions.",
            _article_style_loss,
        ),
        Mistake(
            "right where both maps have the same size. Here they differ, and you divided both Gram matrices by the "
            "number of positions of the style image.",
            lambda generated, style: _article_style_loss(style, generated),
        ),
    ),
)

check_weighted_sum = Exercise(
    "weighted_sum",
    _weighted_sum,
    {
        "two layers": (np.array([4, 10], np.float32), np.array([0.5, 2], np.float32)),
        "one layer switched off": (np.array([3, 5, 8], np.float32), np.array([0.75, 0, 0.25], np.float32)),
        "five layers": (np.array([1, 2, 3, 4, 5], np.float32), np.array([0.2, 0.2, 0.2, 0.2, 0.2], np.float32)),
    },
    (
        Mistake(
            "every layer counts the same in your sum; use the weights.",
            lambda layer_losses, weights: np.sum(layer_losses),
        ),
        Mistake(
            "this is the plain mean of the losses; use the weights.",
            lambda layer_losses, weights: np.mean(layer_losses),
        ),
        Mistake(
            "you divided by the sum of the weights. The article takes the weights as they are.",
            lambda layer_losses, weights: np.average(layer_losses, weights=weights),
        ),
        Mistake(
            "the products are right, but they are to be added up, not averaged.",
            lambda layer_losses, weights: np.mean(weights * layer_losses),
        ),
        Mistake(
            "the products are right; one number is wanted, their sum.",
            lambda layer_losses, weights: weights * layer_losses,
        ),
    ),
)

check_equal_say = Exercise(
    "equal_say",
    _equal_say,
    {
        "two layers": (np.array([1, 3], np.float32),),
        "four layers": (np.array([2, 4, 8, 1], np.float32),),
        "orders of magnitude": (np.array([5e5, 1e9, 2e10, 3e9, 1e6], np.float32),),
    },
    (
        *(
            Mistake("the products w_l · E_l are all equal, but the weights do not sum to 1.", wrong)
            for wrong in (
                lambda layer_losses: 1 / layer_losses,
                lambda layer_losses: 1 / (len(layer_losses) * layer_losses),
                lambda layer_losses: np.sum(layer_losses) / layer_losses,
                lambda layer_losses: np.mean(layer_losses) / layer_losses,
                lambda layer_losses: np.max(layer_losses) / layer_losses,
                lambda layer_losses: np.min(layer_losses) / layer_losses,
            )
        ),
        Mistake(
            "the other way round: here the layer with the largest loss gets the largest weight.",
            lambda layer_losses: layer_losses / np.sum(layer_losses),
        ),
        Mistake(
            "these are equal weights. Multiply them by the losses: are the products equal?",
            lambda layer_losses: np.full_like(layer_losses, 1 / len(layer_losses)),
        ),
    ),
)


# 05: total loss


def _squared_steps(image, distance=np.square):
    """The steps down and the steps right of total variation, squared, one by one."""
    return distance(image[:, 1:] - image[:, :-1]), distance(image[:, :, 1:] - image[:, :, :-1])


def _total_variation(image, distance=np.square):
    down, right = _squared_steps(image, distance)
    return (np.sum(down) + np.sum(right)) / np.float32(image.shape[1] * image.shape[2])


def _balanced_content_loss(generated, content):
    return losses.content_loss(generated, content) / (content.shape[1] * content.shape[2])


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
        Mistake(
            "α and β are swapped. Which of them belongs to the content?",
            lambda content, style, alpha, beta: alpha * style + beta * content,
        ),
        Mistake(
            "the style counts with its own weight too.", lambda content, style, alpha, beta: alpha * content + style
        ),
        Mistake(
            "the content counts with its own weight too.", lambda content, style, alpha, beta: content + beta * style
        ),
        Mistake("neither weight plays a part.", lambda content, style, alpha, beta: content + style),
        Mistake(
            "you multiplied the two parts. Then a loss of 0 in one of them would hide the other.",
            lambda content, style, alpha, beta: alpha * content * beta * style,
        ),
        Mistake(
            "you divided by the sum of the weights. The article takes the weights as they are.",
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
        "maps of 3×4, two channels": (_features(3, 4, 2, seed=51), _features(3, 4, 2, seed=52)),
        "maps of 2×5, three channels": (_features(2, 5, 3, seed=53), _features(2, 5, 3, seed=54)),
    },
    (
        Mistake(
            "this is the content loss as it is. On a map twice as high and twice as wide it is four times as large.",
            _half_square_sum,
        ),
        Mistake(
            "you divided by the number of channels as well. It is the same at every size and needs no correction.",
            lambda generated, content: _half_square_sum(generated, content) / content.size,
        ),
        Mistake(
            "you divided by one side of the map only. The loss grows with both.",
            lambda generated, content: _half_square_sum(generated, content) / content.shape[1],
        ),
        Mistake(
            "you divided by one side of the map only, its width. The loss grows with both.",
            lambda generated, content: _half_square_sum(generated, content) / content.shape[2],
        ),
        Mistake(
            "Python divides by one side and then multiplies by the other. Put both into parentheses.",
            lambda generated, content: _half_square_sum(generated, content) / content.shape[1] * content.shape[2],
        ),
        Mistake(
            "you divided by the number of channels. It is the same at every size; the number of positions grows.",
            lambda generated, content: _half_square_sum(generated, content) / content.shape[3],
        ),
        Mistake(
            "this is the mean over all values. Divide by the positions only, and mind the article's factor.",
            lambda generated, content: np.mean((generated - content) ** 2),
        ),
        Mistake(
            "the article's content loss has a factor that is missing here.",
            lambda generated, content: 2 * _balanced_content_loss(generated, content),
        ),
        Mistake(
            "you divided by M². That belongs to the style loss, where M comes in with each of two Gram matrices.",
            lambda generated, content: (
                _balanced_content_loss(generated, content) / (content.shape[1] * content.shape[2])
            ),
        ),
    ),
)

check_total_variation = Exercise(
    "total_variation",
    losses.total_variation_loss,
    {
        "two rows, three columns": (np.array([[[[1], [3], [0]], [[0], [6], [2]]]], np.float32),),
        "one colour everywhere": (np.full((1, 3, 4, 3), 0.5, np.float32),),
        "3×5 pixels, three channels": (_features(3, 5, 3, seed=55),),
    },
    (
        Mistake(
            "you took the steps as they are, without their sign. Here they are squared.",
            lambda image: _total_variation(image, np.abs),
        ),
        Mistake(
            "this is the sum. Divided by the number of pixels, it does not depend on the size of the image.",
            lambda image: np.sum(_squared_steps(image)[0]) + np.sum(_squared_steps(image)[1]),
        ),
        Mistake(
            "you took a step from the last row or column back to the first one, as np.roll does. Those two pixels are "
            "not neighbours.",
            lambda image: (
                np.sum((image - np.roll(image, 1, axis=1)) ** 2 + (image - np.roll(image, 1, axis=2)) ** 2)
                / np.float32(image.shape[1] * image.shape[2])
            ),
        ),
        Mistake(
            "only the steps down are there. (Axis 0 is the batch; without an axis np.diff takes the channels.)",
            lambda image: np.sum(_squared_steps(image)[0]) / np.float32(image.shape[1] * image.shape[2]),
        ),
        Mistake(
            "only the steps to the right are there. (Axis 0 is the batch; without an axis np.diff takes the channels.)",
            lambda image: np.sum(_squared_steps(image)[1]) / np.float32(image.shape[1] * image.shape[2]),
        ),
        Mistake(
            "without an axis np.diff takes the last one, the channels. Neighbours lie in the same channel.",
            lambda image: 2 * np.sum(np.diff(image) ** 2) / np.float32(image.shape[1] * image.shape[2]),
        ),
        Mistake(
            "there are fewer steps than pixels, and np.mean divided by the number of steps. Divide by the pixels.",
            lambda image: np.mean(_squared_steps(image)[0]) + np.mean(_squared_steps(image)[1]),
        ),
        Mistake(
            "right for one channel. A pixel is a pixel, however many channels it has.",
            lambda image: _total_variation(image) / np.float32(image.shape[-1]),
        ),
    ),
)


# 06: training loop


def _normalised_step(image, gradient, rate):
    return np.clip(image - rate * gradient / np.mean(np.abs(gradient)), 0, 1)


check_normalised_step = Exercise(
    "normalised_step",
    _normalised_step,
    {
        "one pixel": (np.array([[[[0.02, 0.5, 0.98]]]], np.float32), np.array([[[[4, -2, -6]]]], np.float32), 0.1),
        "a whole image": (_features(3, 4, 3, seed=3) / 4, _features(3, 4, 3, seed=4) - 1, 0.05),
    },
    (
        Mistake(
            "the loss would rise: the gradient points uphill.",
            lambda image, gradient, rate: _normalised_step(image, -gradient, rate),
        ),
        Mistake(
            "some values have left [0, 1], and no longer are colours.",
            lambda image, gradient, rate: image - rate * gradient / np.mean(np.abs(gradient)),
        ),
        Mistake(
            "you divided by the largest slope. The mean is wanted, so that the average pixel moves by the rate.",
            lambda image, gradient, rate: np.clip(image - rate * gradient / np.max(np.abs(gradient)), 0, 1),
        ),
        Mistake(
            "you divided by the length of the whole gradient. The mean does not depend on the number of pixels.",
            lambda image, gradient, rate: np.clip(image - rate * gradient / np.linalg.norm(gradient), 0, 1),
        ),
        Mistake(
            "you kept only the sign, so every pixel moves equally far. Here steeper slopes still go further.",
            lambda image, gradient, rate: np.clip(image - rate * np.sign(gradient), 0, 1),
        ),
        Mistake(
            "in your mean the slopes up and the slopes down cancel. How steep a slope is does not depend on its sign.",
            lambda image, gradient, rate: np.clip(image - rate * gradient / np.mean(gradient), 0, 1),
        ),
        Mistake(
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
        Mistake(
            "v̂ is a mean of squares. What must be done to it before it can be compared with m̂?",
            lambda gradient, rate: -rate * gradient / (gradient**2 + 1e-7),
        ),
        Mistake(
            "m and v start from 0 and are still too small after one step. The formula has two lines that repair that.",
            lambda gradient, rate: -rate * 0.1 * gradient / (np.sqrt(0.001 * gradient**2) + 1e-7),
        ),
        Mistake(
            "this change goes uphill.",
            lambda gradient, rate: -_first_adam_step(gradient, rate),
        ),
        Mistake(
            "right for every slope but the smallest. ε is added to the root, not under it.",
            lambda gradient, rate: -rate * gradient / np.sqrt(gradient**2 + 1e-7),
        ),
        *(
            Mistake(
                "right for every slope but the smallest. Your ε has another value.",
                lambda gradient, rate, epsilon=epsilon: -rate * gradient / (np.abs(gradient) + epsilon),
            )
            for epsilon in (1e-8, 1e-6, 1e-5)
        ),
        Mistake(
            "right for every slope but the smallest: what does ε do to a slope as small as itself?",
            lambda gradient, rate: -rate * np.sign(gradient),
        ),
        Mistake(
            "0 divided by 0 is not a number. One letter of the formula prevents it.", _first_adam_step_without_epsilon
        ),
        Mistake(
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
        Mistake(
            "your list goes from fine to coarse. The run starts with the smallest picture.",
            lambda size, stages: _stage_sizes(size, stages)[::-1],
        ),
        Mistake(
            "your sides double from stage to stage. It is the number of pixels that should double.",
            lambda size, stages: [round(size / 2**stage) for stage in reversed(range(stages))],
        ),
        Mistake(
            "you cut the fraction off. Take the nearest whole number.",
            lambda size, stages: [int(size / 2 ** (stage / 2)) for stage in reversed(range(stages))],
        ),
        Mistake(
            "your last stage does not reach the full size.",
            lambda size, stages: [round(size / 2 ** (stage / 2)) for stage in range(stages, 0, -1)],
        ),
    ),
)
