"""Three recipes for style transfer that people use today, written from their published settings.

Each has two halves: `objective`, the loss it makes small, as a function of the generated image alone; and `run`,
the way it makes it small, which reports loss and image of every step. All see the same
VGG16 with the weights that come with the project (two of them were published for VGG19), and images
(1, height, width, 3) in [0, 1].
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nst_keras._tensorflow import keras, tf
from nst_keras.losses import gram_matrix, mean_gram_matrix

STYLE_LAYERS = ("block1_conv1", "block2_conv1", "block3_conv1", "block4_conv1", "block5_conv1")
IMAGENET_MEANS = (123.68, 116.779, 103.939)


@dataclass(frozen=True)
class Recipe:
    name: str
    side: str  # which side of the content image is brought to `pixels`
    pixels: int
    steps: int  # of the full run, as published
    measured: int  # how many of them the benchmark runs
    optimizer: str  # of this package, the one that gets further in a full run
    content_layer: str
    objective: Callable  # (extractor, content, style) -> function of the image: loss
    run: Callable  # (extractor, content, style, steps, report): calls report(loss, image) at every step


def style_grams(features, gram):
    """{style layer: its Gram matrix}, each recipe with a Gram matrix of its own."""
    return {layer: gram(features[layer]) for layer in STYLE_LAYERS}


def keras_objective(extractor, content, style):
    """The loss of the Keras project's example, with the features of both images computed once."""
    content_target = extractor(content)["block5_conv2"]
    style_targets = style_grams(extractor(style), gram_matrix)

    def loss(image):
        features = extractor(image)
        grams = style_grams(features, gram_matrix)
        return keras_loss(image, features["block5_conv2"], content_target, grams, style_targets)

    return loss


def keras_loss(image, content_features, content_target, grams, style_targets):
    height, width = image.shape[1:3]
    loss = 2.5e-8 * tf.reduce_sum(tf.square(content_features - content_target))
    for layer in STYLE_LAYERS:
        difference = tf.reduce_sum(tf.square(grams[layer] - style_targets[layer]))
        loss += 1e-6 / len(STYLE_LAYERS) * difference / (4 * 3**2 * (height * width) ** 2)
    pixels = 255 * image
    down = tf.square(pixels[:, :-1, :-1] - pixels[:, 1:, :-1])
    right = tf.square(pixels[:, :-1, :-1] - pixels[:, :-1, 1:])
    return loss + 1e-6 * tf.reduce_sum((down + right) ** 1.25)


def run_keras(extractor, content, style, steps, report):
    """All three images go through the network in every step; SGD on pixels of 0 to 255 less their means."""
    means = tf.constant(IMAGENET_MEANS)
    generated = tf.Variable(255 * content - means)
    optimizer = keras.optimizers.SGD(
        keras.optimizers.schedules.ExponentialDecay(initial_learning_rate=100.0, decay_steps=100, decay_rate=0.96)
    )

    @tf.function
    def loss_and_gradient():
        with tf.GradientTape() as tape:
            image = (generated + means) / 255
            features = extractor(tf.concat([content, style, image], axis=0))
            grams = style_grams(features, lambda batch: gram_matrix(batch[2:]))
            style_targets = style_grams(features, lambda batch: gram_matrix(batch[1:2]))
            content_features = features["block5_conv2"]
            loss = keras_loss(image, content_features[2:], content_features[:1], grams, style_targets)
        return loss, tape.gradient(loss, generated)

    for _ in range(steps):
        loss, gradient = loss_and_gradient()
        report(float(loss), (generated + means) / 255)
        optimizer.apply_gradients([(gradient, generated)])


def tensorflow_objective(extractor, content, style):
    """The loss of the TensorFlow tutorial."""
    content_target = extractor(content)["block5_conv2"]
    style_targets = style_grams(extractor(style), mean_gram_matrix)

    def loss(image):
        features = extractor(image)
        loss = 1e4 * tf.reduce_mean(tf.square(features["block5_conv2"] - content_target))
        for layer in STYLE_LAYERS:
            difference = tf.square(mean_gram_matrix(features[layer]) - style_targets[layer])
            loss += 1e-2 / len(STYLE_LAYERS) * tf.reduce_mean(difference)
        return loss + 30 * tf.reduce_sum(tf.image.total_variation(image))

    return loss


def run_tensorflow(extractor, content, style, steps, report):
    """Adam on pixels of 0 to 1, clipped after every step; the targets are computed once."""
    objective = tensorflow_objective(extractor, content, style)
    generated = tf.Variable(content)
    optimizer = keras.optimizers.Adam(learning_rate=0.02, beta_1=0.99, epsilon=1e-1)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = objective(generated)
        optimizer.apply_gradients([(tape.gradient(loss, generated), generated)])
        generated.assign(tf.clip_by_value(generated, 0.0, 1.0))
        return loss

    for _ in range(steps):
        image = tf.identity(generated)
        report(float(step()), image)


def pytorch_objective(extractor, content, style):
    """The loss of the popular PyTorch projects."""
    content_target = extractor(content)["block4_conv2"]
    style_targets = style_grams(extractor(style), mean_gram_matrix)

    def loss(image):
        features = extractor(image)
        loss = 1e5 * tf.reduce_mean(tf.square(features["block4_conv2"] - content_target))
        for layer in STYLE_LAYERS:
            channels = features[layer].shape[-1]
            difference = (mean_gram_matrix(features[layer]) - style_targets[layer]) / channels
            loss += 3e4 / len(STYLE_LAYERS) * tf.reduce_sum(tf.square(difference))
        return loss + 255 * tf.reduce_sum(tf.image.total_variation(image))

    return loss


def run_pytorch(extractor, content, style, steps, report):
    """`torch.optim.LBFGS` with its strong Wolfe line search on pixels of 0 to 255 less their means."""
    import torch

    layers = [*STYLE_LAYERS, "block4_conv2"]
    network = [layer for layer in extractor.model.layers if "conv" in layer.name or "pool" in layer.name]
    means = torch.tensor(IMAGENET_MEANS)[:, None, None]

    def to_torch(values):
        return torch.tensor(np.ascontiguousarray(values))

    kernels = {
        layer.name: (to_torch(layer.kernel.numpy().transpose(3, 2, 0, 1)), to_torch(layer.bias.numpy()))
        for layer in network
        if "conv" in layer.name
    }

    def pixels_of(image):
        return 255 * to_torch(image.numpy().transpose(0, 3, 1, 2)) - means

    def features_of(pixels):
        features, found = pixels[:, [2, 1, 0]], {}
        for layer in network:
            if "pool" in layer.name:
                features = torch.nn.functional.max_pool2d(features, 2)
            else:
                features = torch.relu(torch.nn.functional.conv2d(features, *kernels[layer.name], padding=1))
            if layer.name in layers:
                found[layer.name] = features
        return found

    def scaled_gram(features):
        by_channel = features.reshape(features.shape[1], -1)
        return by_channel @ by_channel.T / by_channel.numel()

    with torch.no_grad():
        content_target = features_of(pixels_of(content))["block4_conv2"]
        style_targets = style_grams(features_of(pixels_of(style)), scaled_gram)
    generated = pixels_of(content).requires_grad_()
    optimizer = torch.optim.LBFGS([generated], max_iter=steps, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        features = features_of(generated)
        loss = 1e5 * torch.nn.functional.mse_loss(features["block4_conv2"], content_target)
        for layer in STYLE_LAYERS:
            difference = torch.square(scaled_gram(features[layer]) - style_targets[layer])
            loss = loss + 3e4 / len(STYLE_LAYERS) * difference.sum()
        down = (generated[:, :, 1:] - generated[:, :, :-1]).abs().sum()
        right = (generated[:, :, :, 1:] - generated[:, :, :, :-1]).abs().sum()
        loss = loss + down + right
        loss.backward()
        report(loss.item(), tf.constant((generated.detach() + means).numpy().transpose(0, 2, 3, 1) / 255))
        return loss

    optimizer.step(closure)


RECIPES = (
    Recipe("Keras example", "height", 400, 4000, 400, "lbfgs", "block5_conv2", keras_objective, run_keras),
    Recipe(
        "TensorFlow tutorial", "longer", 512, 1000, 1000, "adam", "block5_conv2", tensorflow_objective, run_tensorflow
    ),
    Recipe("PyTorch L-BFGS", "height", 400, 1000, 200, "lbfgs", "block4_conv2", pytorch_objective, run_pytorch),
)
