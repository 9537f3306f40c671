"""Exercises of notebook 1: what a network sees in a picture."""

import numpy as np

from nst_keras.exercises.check import Exercise, small_features

_BGR_MEANS = np.array([103.939, 116.779, 123.68], np.float32)  # of ImageNet's training pictures


def _preprocess(image):
    return image[..., ::-1] * np.float32(255) - _BGR_MEANS


def _feature_shape(height, width, poolings, channels):
    return height // 2**poolings, width // 2**poolings, channels


def _receptive_field(
    layers, adds=lambda kernel, stride: kernel - 1, next_spacing=lambda spacing, stride: spacing * stride
):
    field, spacing = 1, 1
    for kernel, stride in layers:
        field += adds(kernel, stride) * spacing
        spacing = next_spacing(spacing, stride)
    return field


check_preprocess = Exercise(
    "preprocess",
    _preprocess,
    {
        "one orange pixel": (np.array([[[[1, 0.5, 0]]]], np.float32),),
        "red, green, blue and white": (np.array([[[[1, 0, 0], [0, 1, 0]], [[0, 0, 1], [1, 1, 1]]]], np.float32),),
    },
    (
        (
            "the network was trained on values from 0 to 255, and its means are given on that scale.",
            lambda image: image[..., ::-1] - _BGR_MEANS,
        ),
        (
            "your channels are still in the order red, green, blue; the network and its means begin with blue.",
            lambda image: image * np.float32(255) - _BGR_MEANS,
        ),
        (
            "the result is still RGB: its first channel should be blue.",
            lambda image: image * np.float32(255) - _BGR_MEANS[::-1],
        ),
        (
            "every channel got the mean of a different colour. Put both into the same order.",
            lambda image: image[..., ::-1] * np.float32(255) - _BGR_MEANS[::-1],
        ),
        (
            "you added the means. The average picture should end up near zero.",
            lambda image: image[..., ::-1] * np.float32(255) + _BGR_MEANS,
        ),
        ("you haven't subtracted the means yet.", lambda image: image[..., ::-1] * np.float32(255)),
    ),
)

check_relu = Exercise(
    "relu",
    lambda before: np.maximum(before, 0),
    {
        "one position, four channels": (np.array([[[[-3, 0, 2, 7]]]], np.float32),),
        "nine positions, two channels": (small_features(3, 3, 2, seed=3) - 2,),
    },
    (
        ("a negative value should become zero, not positive.", np.abs),
        ("you kept the values below zero and dropped those above.", lambda before: np.minimum(before, 0)),
        (
            "your result only tells where a unit fires. ReLU also keeps how strongly it fires.",
            lambda before: (before > 0).astype(np.float32),
        ),
        ("large values should stay as they are. ReLU has no upper limit.", lambda before: np.clip(before, 0, 6)),
        (
            "`max` and `if` look at the whole array at once. Compare every element with 0 on its own.",
            lambda before: max(0, before),
        ),
        (
            "`np.max` finds the single largest value. Compare every element with 0 on its own.",
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
        (
            "the second pooling halves what the first one has already halved.",
            lambda height, width, poolings, channels: (height // (2 * poolings), width // (2 * poolings), channels),
        ),
        (
            "rows come first, then columns.",
            lambda height, width, poolings, channels: (width // 2**poolings, height // 2**poolings, channels),
        ),
        (
            "the channels come last, as Keras keeps them.",
            lambda height, width, poolings, channels: (channels, *_feature_shape(height, width, poolings, 0)[:2]),
        ),
        (
            "there's no such thing as half a unit. A row or column without a partner is dropped.",
            lambda height, width, poolings, channels: (height / 2**poolings, width / 2**poolings, channels),
        ),
        (
            "a row or column without a partner is dropped, not kept.",
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
        (
            "before the first layer a unit is a pixel, and a pixel sees itself.",
            lambda layers: _receptive_field(layers) - 1,
        ),
        (
            "neighbouring windows overlap: count only the pixels that a layer adds.",
            lambda layers: sum(kernel for kernel, stride in layers),
        ),
        (
            "after a pooling, neighbouring units are two pixels apart, and a kernel reaches further.",
            lambda layers: 1 + sum(kernel - 1 for kernel, stride in layers),
        ),
        (
            "a window spans inputs of its own layer. The layer's own stride only counts from the next layer on.",
            lambda layers: _receptive_field(layers, adds=lambda kernel, stride: (kernel - 1) * stride),
        ),
        (
            "you counted the pixel that was already there a second time.",
            lambda layers: _receptive_field(layers, adds=lambda kernel, stride: kernel),
        ),
        (
            "a layer of stride 1 doesn't undo the poolings before it.",
            lambda layers: _receptive_field(layers, next_spacing=lambda spacing, stride: stride),
        ),
        (
            "this works for the layers of VGG16. Other networks have kernels of other sizes, and the list gives them.",
            lambda layers: _receptive_field([(3 if stride == 1 else 2, stride) for _, stride in layers]),
        ),
    ),
)
