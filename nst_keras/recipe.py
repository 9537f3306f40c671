"""The recipe of a picture: every knob of a run with its default and its check, each once. Needs no TensorFlow."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from math import ceil

import numpy as np

from nst_keras.pictures import SIZE, fitted_shape
from nst_keras.ranges import Weight, WholeNumber, WholeNumberOr, check, guess

#: Whose features are the content, unless a recipe says otherwise.
CONTENT_LAYERS = ("block4_conv2",)
#: Whose Gram matrices are the style, unless a recipe says otherwise: the first convolution of each block.
STYLE_LAYERS = ("block1_conv1", "block2_conv1", "block3_conv1", "block4_conv1", "block5_conv1")
VGG16_LAYERS = tuple(
    f"block{block}_{layer}"
    for block, convolutions in enumerate((2, 2, 3, 3, 3), start=1)
    for layer in (*(f"conv{number}" for number in range(1, convolutions + 1)), "pool")
)
OPTIMIZERS = ("lbfgs", "adam")
MIN_WEIGHT, MAX_WEIGHT = 1e-25, 1e30  # beyond these, products of weights, losses and slopes leave the range of float32
WEIGHT = Weight(MIN_WEIGHT, MAX_WEIGHT)

# VGG16 pads with zeros, which shows as a coloured rim. The picture is painted on a canvas this many pixels
# larger on each side, continued as in a mirror, and the rim is cut off with it.
MARGIN = 8
# Of the noise to start from. At full contrast some of its coloured dots would stay in the picture.
NOISE_CONTRAST = 0.02
# Coarse to fine: each stage is twice as large as the one before and gets less than half of its steps.
SMALLEST_SIDE = 40
STAGE_GROWTH = 2
STAGE_STEPS = 0.45
HISTORY = 10  # steps that L-BFGS remembers
TILE = WholeNumber(64, SIZE.highest)  # side in pixels; around its own a tile sees 58 more, with the default layers
# A resumed run has lost the memory of L-BFGS, and the canvas around the picture. Its loss would end up to 22 % above
# that of a run without a break; repeating this many steps of the stage closes the gap.
REPEATED = 15


def _knob(default, help, allowed=None):
    """A field of `Recipe`: its default, one line of explanation, and the values it may have where a range says it."""
    return field(default=default, metadata={"help": help, "allowed": allowed})


@dataclass(frozen=True)
class Recipe:
    """Every knob of a run, checked. `transfer_style` takes one as `recipe=`, or its knobs as keywords.

    Args:
        size: longer side of the result in pixels. None keeps the photo's own.
        content_weight: α. 0 leaves the content out: a texture of the style.
        style_weight: β. 0 leaves the style out: a reconstruction of the content.
        total_variation_weight: how much smoothness counts; 0, as in the article, switches it off.
        content_layers: name of the content layer, names of several, or {name: weight}.
        style_layers: name of a style layer, names of several, or {name: weight}. Names alone get the
            same weight each, and a sum of 1. Both are kept as {name: weight}.
        init: what the generated image starts from: "noise", "content", or an image, which is brought to the
            shape of the content.
        optimizer: "lbfgs", "adam", or a Keras optimizer, for pixels in [0, 1].
        steps: number of steps, over all stages together.
        coarse_to_fine: start small and enlarge stage by stage; False runs all steps at full size.
        seed: of the noise. The same seed on the same machine gives the same picture; on a GPU only after
            `tf.config.experimental.enable_op_determinism()`.
        tile: side in pixels of the tiles in which a picture is computed that is larger than that. The losses and the
            gradient are the same but for rounding; it takes less memory, and more time. "auto" computes the whole
            picture at once where memory allows, and else makes the tiles as large as it does.

    Raises:
        ValueError: if a value makes no sense, in one sentence that says what it may be. What only Keras, the network or
            a file can tell (the optimizer, names of layers, `init`) is checked by `transfer_style`, before the run.

    Example:
        >>> recipe = Recipe(size=240, style_layers=["block1_conv1", "block2_conv1"])
        >>> recipe.style_layers
        {'block1_conv1': 0.5, 'block2_conv1': 0.5}
    """

    size: int = _knob(400, "longer side in pixels", WholeNumberOr(SIZE.lowest, SIZE.highest, None))
    content_weight: float = _knob(1.0, "how much the content counts", WEIGHT)
    style_weight: float = _knob(0.15, "how much the style counts", WEIGHT)
    total_variation_weight: float = _knob(0.0, "how much smoothness counts", WEIGHT)
    content_layers: object = _knob(CONTENT_LAYERS, "layers of VGG16")
    style_layers: object = _knob(STYLE_LAYERS, "layers of VGG16, each with or without a weight")
    init: object = _knob("noise", 'what to start from: "noise", "content", or a picture')
    optimizer: object = _knob("lbfgs", "what moves the pixels")
    steps: int = _knob(200, "over all stages together", WholeNumber(1, 10**9))
    coarse_to_fine: bool = _knob(True, "start small and enlarge, or run at full size only")
    seed: int = _knob(0, "of the noise", WholeNumber(0, 2**32 - 1))
    tile: object = _knob(
        "auto", "side of the tiles of a large picture", WholeNumberOr(TILE.lowest, TILE.highest, "auto")
    )

    def __post_init__(self):
        for knob in fields(self):
            if knob.metadata["allowed"]:
                check(knob.name, getattr(self, knob.name), knob.metadata["allowed"])
        if not isinstance(self.coarse_to_fine, bool | np.bool_):
            raise ValueError(f"coarse_to_fine must be True or False, not {self.coarse_to_fine!r}.")
        for kind in ("content", "style"):
            layers = layer_weights(getattr(self, f"{kind}_layers"))
            for layer, weight in layers.items():
                check(f"the weight of {kind} layer {layer}", weight, WEIGHT)
            object.__setattr__(self, f"{kind}_layers", layers)
        if not self.content_layers or not self.style_layers:
            raise ValueError("Name at least one content layer and one style layer; a weight of 0 switches a loss off.")
        if self.content_weight == self.style_weight == 0:
            raise ValueError("content_weight and style_weight are both 0: nothing is left to paint; raise one of them.")
        content, style = max(self.content_layers.values()), max(self.style_layers.values())
        if max(self.content_weight * content, self.style_weight * style) < MIN_WEIGHT:
            raise ValueError("The weights of the layers leave nothing of the pictures to paint; raise one.")


def recipe_from(recipe, knobs):
    """`recipe`, or one of defaults, with these knobs turned; a name that is none of them is answered with all names."""
    names = [knob.name for knob in fields(Recipe)]
    for name in knobs:
        if name not in names:
            raise TypeError(f"There is no keyword {name!r}.{guess(name, names)} The knobs are {', '.join(names)}.")
    if recipe is not None and not isinstance(recipe, Recipe):
        raise TypeError(f"recipe must be a Recipe, not {type(recipe).__name__}; give single knobs as keywords.")
    return replace(recipe or Recipe(), **knobs)


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
    """Refuse a layer that the network does not have; the message lists those it has."""
    unknown = [layer for layer in layers if layer not in known]
    if unknown and unknown[0] in VGG16_LAYERS:
        raise ValueError(f"The model given as vgg16 has no layer {unknown[0]!r}: it is no VGG16. load_vgg16 makes one.")
    if unknown or not layers:
        raise ValueError(
            f"{'VGG16 has no layer ' + repr(unknown[0]) if unknown else 'Name at least one layer of VGG16'}; "
            f"its layers are {', '.join(known)}."
        )


def smallest_side(layers, known=VGG16_LAYERS):
    """Every pooling halves the picture: fewer pixels than this, and nothing is left at the deepest of the layers."""
    deepest = max(known.index(layer) for layer in layers)
    return 2 ** sum(layer.endswith("pool") for layer in known[: deepest + 1])


def smallest_size(shape, side):
    """The longer side at which the shorter one of a picture (height, width) has at least `side` pixels."""
    return ceil(side * max(shape) / min(shape))


def check_sides(name, shape, size, layers_need):
    """Refuse a picture of that (height, width) that at this size is thinner than the layers and the margin need."""
    height, width = fitted_shape(*shape, size)
    needed = max(MARGIN, layers_need)
    if min(height, width) < needed:
        smallest = smallest_size(shape, needed)
        advice = f"Choose a size from {smallest}, or cut" if smallest in SIZE else "Cut"
        raise ValueError(
            f"{name} has {shape[1]}×{shape[0]} pixels, which size {size} makes {width}×{height}, but the chosen layers "
            f"and the margin need at least {needed} on every side. "
            f"{advice} the picture to another shape."
        )


def plan_stages(height, width, steps, coarse_to_fine=True):
    """Divide the steps over sizes that grow to (height, width).

    Returns:
        List of (height, width, steps) from the coarsest stage to the finest.

    Example:
        >>> plan_stages(100, 150, steps=100)
        [(50, 75, 69), (100, 150, 31)]
    """
    shapes = [(height, width)]
    while coarse_to_fine and len(shapes) < steps:
        shrink = STAGE_GROWTH ** len(shapes)
        smaller = round(height / shrink), round(width / shrink)
        if min(smaller) < SMALLEST_SIDE:
            break
        shapes.insert(0, smaller)
    shares = STAGE_STEPS ** np.arange(len(shapes))
    spare = (steps - len(shapes)) * np.cumsum(shares) / np.sum(shares)  # every stage has at least one step
    counts = 1 + np.diff(np.rint(spare), prepend=0).astype(int)
    return [(*shape, int(count)) for shape, count in zip(shapes, counts, strict=True)]


def remaining_stages(stages, done):
    """The stages of an interrupted run that are left when `done` steps of the plan are done.

    Example:
        >>> remaining_stages([(50, 75, 40), (100, 150, 60)], done=70)  # 30 are left, and 15 are done again
        [(100, 150, 45)]
    """
    left = []
    for stage in stages:
        *shape, steps = stage
        skipped = min(done, steps)
        done -= skipped
        if skipped < steps or stage is stages[-1]:
            left.append((*shape, steps - max(0, skipped - REPEATED)))
    return left
