"""Pictures larger than memory: the same losses and the same gradient, tile by tile.

The losses are functions of sums over positions (objective.py), and a sum can be added up piece by piece. With the sums
S = Σ_t S_t of the tiles t, the chain rule gives the gradient on the pixels x in pieces too:

    ∂L/∂x = Σ_t ∂L/∂S · ∂S_t/∂x

So a first pass over the tiles adds up S, then ∂L/∂S is computed once, and a second pass takes the gradient of each
tile. Only one tile's features are in memory at a time. There are no seams: the style is that of the whole picture,
and not, as where tiles are painted one by one, that of each tile.
"""

import functools
from typing import NamedTuple

from nst_keras._tensorflow import tf
from nst_keras.losses import positions_in, squared_steps
from nst_keras.objective import loss, masks_of, measure, shares_and_regions


class Strip(NamedTuple):
    """The rows of a tile, or its columns: those it adds up, and those it must see for that."""

    start: int
    stop: int
    first_seen: int
    end_seen: int

    def own(self, spacing):
        return slice(self.start // spacing, self.stop // spacing)

    @property
    def seen(self):
        return slice(self.first_seen, self.end_seen)


def tiles_of(height, width, size, extractor):
    """Divide an image into tiles of about `size` pixels on each side.

    Their edges lie on the grid of the deepest layer, so that they cut no pool in two, and around its own pixels a tile
    sees as many as its features depend on. A last strip thinner than half a tile joins its neighbour.

    Returns:
        List of tiles, each a pair of `Strip`, rows and columns.

    Example:
        >>> [(rows.own(1), columns.own(1)) for rows, columns in tiles_of(64, 200, 96, FeatureExtractor("block4_conv2"))]
        [(slice(0, 64, None), slice(0, 96, None)), (slice(0, 64, None), slice(96, 200, None))]
    """
    grid = extractor.smallest_side
    side, halo = max(1, size // grid) * grid, -(-extractor.reach // grid) * grid

    def strips(length):
        starts = list(range(0, length, side))
        if len(starts) > 1 and length - starts[-1] < side / 2:
            starts.pop()
        for start, stop in zip(starts, [*starts[1:], length], strict=True):
            yield Strip(start, stop, max(0, start - halo), min(length, stop + halo))

    return [(rows, columns) for rows in strips(height) for columns in strips(width)]


def tiled_gradient(extractor, content, styles, recipe, size, show_tile=None):
    """What `gradient_of(objective_of(…))` is, computed in tiles of `size` pixels.

    Args:
        extractor, content, styles, recipe: as in `objective_of`.
        size: of a tile, in pixels on each side.
        show_tile: called as show_tile(what, number, count) before each of the tiles, in both passes.

    Returns:
        Function of an image that gives ({loss name: float}, gradient of the image's shape).
    """
    features_of, sums_of, gradient_of_sums = _passes(extractor, tuple(recipe.style_layers))

    def mean_gram_matrices(style):
        masks = masks_of(style.style_region, style.image, extractor)
        tiles = tiles_of(*style.image.shape[1:3], size, extractor)
        sums = _added(sums_of(tile, style.image, {}, [_own(masks, tile, extractor)]) for tile in tiles)
        reached = _reached(masks, style.image, extractor)
        return {layer: gram / reached[layer] for layer, gram in sums["gram"][0].items()}

    targets = [mean_gram_matrices(style) for style in styles]
    shares, regions = shares_and_regions(styles)
    masks = [masks_of(region, content, extractor) for region in regions]
    reached = [_reached(mask, content, extractor) for mask in masks]
    positions = _reached({}, content, extractor) | {"image": content.shape[1] * content.shape[2]}
    pieces = []  # each tile with what stays the same in every step
    for tile in tiles_of(*content.shape[1:3], size, extractor):
        features = features_of(tile, content)
        content_features = {layer: features[layer] for layer in recipe.content_layers}
        pieces.append((tile, content_features, [_own(mask, tile, extractor) for mask in masks]))

    def shown(what):
        for number, piece in enumerate(pieces, start=1):
            if show_tile:
                show_tile(what, number, len(pieces))
            yield piece

    def evaluate(image):
        sums = _added(sums_of(tile, image, *constants) for tile, *constants in shown("sums"))
        with tf.GradientTape() as tape:
            tape.watch((sums, image))
            steps = squared_steps(image)
            losses = loss({**sums, "steps": steps, "reached": reached, "positions": positions}, targets, recipe, shares)
        slopes, gradient = tape.gradient(losses["total_loss"], (sums, image))
        gradient = gradient.numpy()
        for tile, *constants in shown("gradient"):
            rows, columns = tile
            gradient[:, rows.seen, columns.seen] += gradient_of_sums(tile, image, *constants, slopes)
        return {name: float(value) for name, value in losses.items()}, tf.constant(gradient)

    return evaluate


def _passes(extractor, style_layers):
    """Functions of (tile, image, …): the tile's own features, its sums, and the gradient of these on what it sees."""

    @functools.cache
    def compiled(rows, columns):
        """For a tile in its own coordinates: tiles of one kind share their functions."""

        def features(seen):
            return _own(extractor(seen), (rows, columns), extractor)

        def sums(seen, content_features, masks):
            found = measure(seen, features(seen), content_features, style_layers, masks)
            return {"content": found["content"], "gram": found["gram"]}

        def gradient(seen, content_features, masks, slopes):
            with tf.GradientTape() as tape:
                tape.watch(seen)
                found = sums(seen, content_features, masks)
            return tape.gradient(found, seen, slopes)

        return [tf.function(one, autograph=False) for one in (features, sums, gradient)]

    def call(number, tile, image, *arguments):
        rows, columns = tile
        shifted = [Strip(*(edge - strip.first_seen for edge in strip)) for strip in tile]
        function, seen = compiled(*shifted)[number], image[:, rows.seen, columns.seen]
        # Asked for in this way, TensorFlow does not warn that every kind of tile needs a function of its own.
        return function.get_concrete_function(seen, *arguments)(seen, *arguments)

    return [functools.partial(call, number) for number in range(3)]


def _own(maps, tile, extractor):
    """A tile's own part of what an image has at the positions of each layer."""
    rows, columns = tile
    return {
        layer: values[:, rows.own(extractor.spacing[layer]), columns.own(extractor.spacing[layer])]
        for layer, values in maps.items()
    }


def _reached(mask, image, extractor):
    """How many positions of each layer count, in the whole image."""
    height, width = image.shape[1:3]
    return {
        layer: positions_in(mask[layer]) if mask else (height // side) * (width // side)
        for layer, side in extractor.spacing.items()
    }


def _added(sums):
    return functools.reduce(functools.partial(tf.nest.map_structure, tf.add), sums)
