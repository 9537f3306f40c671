"""VGG16 as a feature extractor: the only place that knows the network, BGR and the ImageNet means."""

import functools
import hashlib
import os
from pathlib import Path

import numpy as np

from nst_keras._tensorflow import check_eager, compiled_once, keras, tf
from nst_keras.pictures import DATA, without_warnings
from nst_keras.recipe import check_layers, smallest_side

BUNDLED_WEIGHTS = DATA / "vgg16" / "vgg16_imagenet_notop.weights.h5"
BUNDLED_SHA256 = "3db68046dc660cf3607a1c711f61f60b2e1249a883acbfa0e37fea7b0ba7ecf0"


def load_vgg16(weights="bundled", pooling="max"):
    """VGG16 of Simonyan and Zisserman (2014, arXiv 1409.1556) without its top, frozen.

    Args:
        weights: "bundled" for the file that comes with the project (no network needed), "imagenet" for Keras's
            own download, or the path of a weights file for `keras.applications.VGG16(include_top=False)`.
        pooling: "max" as the network was trained, or "average" as Gatys et al. (2015), section 4, prefer.

    Returns:
        `keras.Model`, not trainable. Its layers are named block1_conv1 to block5_pool; each convolution
        includes its ReLU. After keras.config.set_dtype_policy("mixed_bfloat16") they compute in 16 bits: less memory,
        and 1.7 times as fast where the processor has bfloat16.

    Raises:
        ValueError: if `pooling` is neither, or the file does not hold these weights.
        FileNotFoundError: if there is no file of that path.
        ConnectionError: if "imagenet" cannot be downloaded.

    Example:
        >>> load_vgg16().count_params()
        14714688
    """
    if pooling not in ("max", "average"):
        raise ValueError(f'pooling is "max" or "average", not {pooling!r}.')
    check_eager()
    for numbers in (keras.config.floatx(), keras.config.dtype_policy().name):
        if _too_coarse(numbers):
            raise ValueError(
                f"Keras is set to {numbers}, in which the losses overflow or lose precision "
                "(of the 16-bit settings mixed_bfloat16 works); "
                "keras.config.set_floatx('float32') and keras.config.set_dtype_policy('float32') set it back."
            )
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "Keras is set to images with the channels first, and here they come last; "
            "keras.config.set_image_data_format('channels_last') sets it back."
        )
    if weights == "imagenet":
        try:
            vgg16 = keras.applications.VGG16(include_top=False, weights="imagenet")
        except Exception as error:  # Keras raises a bare Exception when the download fails
            raise ConnectionError(
                f'The ImageNet weights cannot be downloaded ({error}); weights="bundled" needs no network.'
            ) from error
    else:
        path = BUNDLED_WEIGHTS if weights == "bundled" else Path(os.path.expanduser(weights))
        if not path.is_file():
            raise FileNotFoundError(f'There is no weights file {path}; weights="imagenet" downloads one.')
        if weights == "bundled" and _sha256(path) != BUNDLED_SHA256:
            raise ValueError(
                f"{path} is damaged: it is not the file that comes with the project. Get that file again, for "
                'instance with git checkout, or use weights="imagenet".'
            )
        vgg16 = keras.applications.VGG16(include_top=False, weights=None)
        for variable in vgg16.weights:  # what a file does not hold stays NaN: Keras would only warn of it
            variable.assign(np.full(variable.shape, np.nan, np.float32))
        try:
            with without_warnings():
                vgg16.load_weights(path)
        except Exception as error:  # h5py and Keras raise OSError, KeyError, ValueError …
            raise ValueError(f"{_no_weights(path)} ({error}).") from error
        if any(np.isnan(values).any() for values in vgg16.get_weights()):
            raise ValueError(f"{_no_weights(path)} (some layers are missing).")
    vgg16 = _frozen(vgg16, pooling)
    vgg16.trainable = False
    vgg16.origin = weights if weights in ("bundled", "imagenet") else str(path.absolute()), pooling
    return vgg16


def vgg16_once(weights="bundled", pooling="max"):
    """What `load_vgg16` gives; nobody changes it, so the next run in this process need not load it again."""
    settings = keras.config.floatx(), keras.config.dtype_policy().name, keras.config.image_data_format()
    return _loaded_with(settings, weights, pooling)


@functools.lru_cache(maxsize=1)
def _loaded_with(keras_settings, weights, pooling):
    return load_vgg16(weights, pooling)


def _no_weights(path):
    return f"{path} does not hold the weights of VGG16 without its top as Keras saves them"


def _too_coarse(numbers):
    """Whether losses overflow or lose precision in these numbers: float16, bfloat16, mixed_float16."""
    return "16" in numbers and numbers != "mixed_bfloat16"


def _sha256(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class FrozenConv2D(keras.layers.Conv2D):
    """A convolution of stride 1, padded, whose kernels stay as they are: its gradient is a convolution forwards.

    The gradient on the input is the gradient on the output, convolved with the kernels turned by 180°, input and output
    channels exchanged. TensorFlow's own way there takes up to twice as long on a processor; the result is the same.
    """

    turned = None

    def convolution_op(self, inputs, kernel):
        kernel = tf.convert_to_tensor(kernel)
        if tf.executing_eagerly():
            return _convolution(inputs, kernel)
        with tf.init_scope():  # once for every tf.function, not in each of its runs
            turned = _turned(self.kernel)
            if self.turned is None or not tf.reduce_all(self.turned == turned):
                self.turned = turned  # all functions share it
        return _convolution(inputs, kernel, self.turned)


@compiled_once
@tf.custom_gradient
def _convolution(inputs, kernel, *turned):
    def gradient(upstream):
        (backwards,) = turned or (_turned(kernel),)
        no_more = [None for _ in (kernel, *turned)]  # the kernels stay as they are
        return _convolve(upstream, tf.cast(backwards, upstream.dtype)), *no_more

    return _convolve(inputs, kernel), gradient


def _turned(kernel):
    return tf.transpose(tf.reverse(kernel, (0, 1)), (0, 1, 3, 2))


def _convolve(inputs, kernel):
    return tf.nn.conv2d(inputs, kernel, strides=1, padding="SAME")


class FrozenMaxPooling2D(keras.layers.MaxPooling2D):
    """Pooling by 2×2, whose gradient goes to the largest of four; where several are the largest, in equal parts.

    TensorFlow's own MaxPoolGrad gives all of it to the first of them, and takes twice as long on a processor.
    """

    def call(self, inputs):
        return _pooling(inputs)


@compiled_once
@tf.custom_gradient
def _pooling(inputs):
    largest = tf.nn.max_pool2d(inputs, 2, 2, "VALID")

    def gradient(upstream):
        _, height, width, channels = tf.unstack(tf.shape(largest))
        even = inputs[:, : 2 * height, : 2 * width]  # a last odd row or column is in no pool
        fours = tf.reshape(even, (-1, 2, width, 2, channels))
        is_largest = fours == tf.reshape(largest, (-1, 1, width, 1, channels))
        share = tf.nn.avg_pool2d(tf.reshape(tf.cast(is_largest, upstream.dtype), tf.shape(even)), 2, 2, "VALID")
        each = tf.reshape(upstream / (4 * share), (-1, 1, width, 1, channels))
        passed_on = tf.reshape(tf.where(is_largest, each, 0), tf.shape(even))
        odd = tf.shape(inputs) - tf.shape(even)
        return tf.pad(passed_on, tf.stack([tf.zeros_like(odd), odd], axis=1))

    return largest, gradient


def _frozen(vgg16, pooling):
    """The same network, made of layers for a gradient on the pixels alone."""

    def replace(layer):
        kind = type(layer)
        if kind is keras.layers.Conv2D:
            kind = FrozenConv2D
        elif kind is keras.layers.MaxPooling2D:
            kind = FrozenMaxPooling2D if pooling == "max" else keras.layers.AveragePooling2D
            return kind(pool_size=2, strides=2, name=layer.name)
        return kind.from_config(layer.get_config())

    frozen = keras.models.clone_model(vgg16, clone_function=replace)
    frozen.set_weights(vgg16.get_weights())
    return frozen


class FeatureExtractor:
    """Turns an image into its features at chosen layers of VGG16.

    Args:
        layers: names of layers, or one name. The network runs no deeper than the deepest of them.
            `extractor.spacing` tells for each how many pixels apart its positions are, `extractor.reach` how far
            beyond its own pixels a position of the deepest looks.
        vgg16: a model from `load_vgg16`; None loads the bundled one.

    Raises:
        ValueError: if there is no layer of that name (the message lists those that exist), if the model computes in
            float16, or if an image is too small or its values are not in [0, 1].

    Example:
        >>> extract = FeatureExtractor(["block1_conv1", "block3_conv3"])
        >>> {layer: tuple(features.shape) for layer, features in extract(np.zeros((1, 224, 224, 3))).items()}
        {'block1_conv1': (1, 224, 224, 64), 'block3_conv3': (1, 56, 56, 256)}
    """

    def __init__(self, layers, vgg16=None):
        check_eager()
        self.layers = (layers,) if isinstance(layers, str) else tuple(layers)
        vgg16 = vgg16_once() if vgg16 is None else vgg16
        if not isinstance(vgg16, keras.Model):
            raise ValueError(f"vgg16 is a model from load_vgg16, not {vgg16!r}.")
        names = [layer.name for layer in vgg16.layers[1:]]
        check_layers(self.layers, names)
        outputs = {layer: vgg16.get_layer(layer).output for layer in self.layers}
        self.model = keras.Model(vgg16.input, outputs)
        self.smallest_side = smallest_side(self.layers, names)
        self.spacing = {layer: smallest_side((layer,), names) for layer in self.layers}
        seen_on_the_way = names[: 1 + max(names.index(layer) for layer in self.layers)]
        self.reach = sum(smallest_side((layer,), names) for layer in seen_on_the_way if "conv" in layer)
        for layer in self.model.layers[1:]:
            if _too_coarse(layer.dtype_policy.name):
                raise ValueError(
                    f"The layer {layer.name} of this model computes in {layer.dtype_policy.name}, in which the losses "
                    "overflow or lose precision; make the model in float32 or mixed_bfloat16."
                )
        self.dtype_policy = self.model.layers[-1].dtype_policy.name
        self.origin = getattr(vgg16, "origin", None)
        self.number_bytes = tf.as_dtype(self.model.layers[-1].compute_dtype).size

    def __call__(self, image):
        """Return {layer name: features after ReLU, shape (1, h, w, channels)} of an image (1, height, width, 3)."""
        image = tf.convert_to_tensor(image)
        if not image.dtype.is_floating:
            raise ValueError(f"An image holds floats in [0, 1]; this holds {image.dtype.name}. load_image makes one.")
        if image.shape.rank != 4 or image.shape[-1] != 3:
            raise ValueError(
                f"An image has the shape (1, height, width, 3), this has {tuple(image.shape)}; load_image makes one."
            )
        if any(side is not None and side < self.smallest_side for side in image.shape[1:3]):
            raise ValueError(
                f"An image of {image.shape[2]}×{image.shape[1]} pixels is too small for {', '.join(self.layers)}: "
                f"every side needs at least {self.smallest_side}."
            )
        if tf.executing_eagerly():  # in a tf.function there are no values to look at yet
            low, high = float(tf.reduce_min(image)), float(tf.reduce_max(image))
            if not (low >= -0.5 and high <= 1.5):  # an optimizer may overshoot a little; NaN fails every comparison
                raise ValueError(
                    f"The values of an image lie in [0, 1]; these go from {low:.4g} to {high:.4g}. "
                    "Divide an image of 0 to 255 by 255."
                )
        features = self.model(keras.applications.vgg16.preprocess_input(image * 255.0))
        # With mixed_bfloat16 the layers compute in 16 bits; what is summed over all positions needs more.
        return {layer: tf.cast(values, keras.config.floatx()) for layer, values in features.items()}
