"""What can be said about arguments before TensorFlow is imported, which takes seconds."""

import numbers
from collections.abc import Mapping
from math import ceil

from nst_keras.images import fitted_shape

CONTENT_LAYERS = ("block4_conv2",)
STYLE_LAYERS = ("block1_conv1", "block2_conv1", "block3_conv1", "block4_conv1", "block5_conv1")
VGG16_LAYERS = tuple(
    f"block{block}_{layer}"
    for block, convolutions in enumerate((2, 2, 3, 3, 3), start=1)
    for layer in (*(f"conv{number}" for number in range(1, convolutions + 1)), "pool")
)
# VGG16 pads with zeros, which shows as a coloured rim. The picture is painted on a canvas this many pixels
# larger on each side, continued as in a mirror, and the rim is cut off with it.
MARGIN = 8
# Beyond these a product of weights, or of a weight and a loss, leaves the range of float32.
LIGHTEST, HEAVIEST = 1e-30, 1e30
MOST_STEPS = 10**9


def layer_weights(layers):
    """{layer: weight} from a name, several names (equal weights that sum to 1), or such a dictionary."""
    if isinstance(layers, Mapping):
        return dict(layers)
    try:
        layers = (layers,) if isinstance(layers, str) else tuple(layers)
        weights = dict.fromkeys(layers, 1 / max(1, len(layers)))
    except TypeError:
        raise ValueError(f"Layers are a name, several names, or {{name: weight}}, not {layers!r}.") from None
    for layer in weights:
        if layers.count(layer) > 1:
            raise ValueError(f"The layer {layer} is named twice; name it once, with a weight if it is to count more.")
    return weights


def check_layers(layers, known=VGG16_LAYERS):
    unknown = [layer for layer in layers if layer not in known]
    if unknown or not layers:
        raise ValueError(
            f"{'VGG16 has no layer ' + repr(unknown[0]) if unknown else 'No layer is named'}; "
            f"its layers are {', '.join(known)}."
        )


def check_numbers(
    *,
    content_weight=1.0,
    style_weight=0.2,
    total_variation_weight=0.0,
    content_layers=CONTENT_LAYERS,
    style_layers=STYLE_LAYERS,
    steps=400,
    seed=0,
):
    content_layers, style_layers = layer_weights(content_layers), layer_weights(style_layers)
    weights = {
        "content_weight": content_weight,
        "style_weight": style_weight,
        "total_variation_weight": total_variation_weight,
        **{f"the weight of content layer {layer}": weight for layer, weight in content_layers.items()},
        **{f"the weight of style layer {layer}": weight for layer, weight in style_layers.items()},
    }
    for name, weight in weights.items():
        if not is_weight(weight):
            raise ValueError(f"{name} must be 0 or a number from {LIGHTEST:g} to {HEAVIEST:g}, not {weight!r}.")
    if not content_layers or not style_layers:
        raise ValueError("Name at least one content layer and one style layer; a weight of 0 switches a loss off.")
    if content_weight == style_weight == 0:
        raise ValueError("content_weight and style_weight are both 0, so there is nothing to paint; raise one of them.")
    heaviest = max(content_weight * max(content_layers.values()), style_weight * max(style_layers.values()))
    if heaviest < LIGHTEST:
        raise ValueError(
            "The weights of the layers leave nothing of the content or the style to paint; raise one of them."
        )
    if not isinstance(steps, numbers.Integral) or not 1 <= steps <= MOST_STEPS:
        raise ValueError(f"steps must be a whole number from 1 to {MOST_STEPS}, not {steps!r}.")
    if not isinstance(seed, numbers.Integral) or seed < 0:
        raise ValueError(f"seed must be a whole number from 0 up, not {seed!r}.")


def is_weight(value):
    return isinstance(value, numbers.Real) and (value == 0 or LIGHTEST <= value <= HEAVIEST)


def smallest_side(layers, known=VGG16_LAYERS):
    """Every pooling halves the picture: fewer pixels than this, and nothing is left at the deepest of the layers."""
    deepest = max(known.index(layer) for layer in layers)
    return 2 ** sum(layer.endswith("pool") for layer in known[: deepest + 1])


def check_sides(name, shape, size, layers_need):
    """Refuse a picture of that (height, width) that at this size is thinner than the layers and the margin need."""
    height, width = fitted_shape(*shape, size)
    needed = max(MARGIN, layers_need)
    if min(height, width) < needed:
        raise ValueError(
            f"{name} has {shape[1]}×{shape[0]} pixels, which size {size} makes {width}×{height}, but the chosen layers "
            f"and the margin need at least {needed} on every side. "
            f"Choose a size from {ceil(needed * max(shape) / min(shape))}, or cut the picture to another shape."
        )
