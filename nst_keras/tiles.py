"""Pictures larger than memory: the same losses and the same gradient, tile by tile.

The losses are functions of sums over positions (objective.py), and a sum can be added up piece by piece. With the sums
S = Σ_t S_t of the tiles t, the chain rule gives the gradient on the pixels x in pieces too:

    ∂L/∂x = Σ_t ∂L/∂S · ∂S_t/∂x

So a first pass over the tiles adds up S, then ∂L/∂S is computed once, and a second pass takes the gradient of each
tile. Only one tile's features are in memory at a time. There are no seams: the style is that of the whole picture,
and not, as where tiles are painted one by one, that of each tile. A tile needs nothing of its neighbours' work, so
other machines can compute it, too (workers.py).
"""

import functools
from typing import NamedTuple

import numpy as np

from nst_keras._tensorflow import call_at_any_size, tf
from nst_keras.losses import positions_in, steps_down, steps_right
from nst_keras.objective import loss, masks_of, measure, regions_of, shares_of


class Strip(NamedTuple):
    """The rows of a tile, or its columns: those it adds up, and those it must see for that."""

    start: int
    stop: int
    first_seen: int
    end_seen: int

    def own(self, spacing):
        return slice(self.start // spacing, self.stop // spacing)

    @property
    def own_and_next(self):
        return slice(self.start, self.stop + 1)  # at the image's edge there's no next, and the slice ends there

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


def tiled_gradient(extractor, content, styles, recipe, size, show_tile=None, run_pass=None):
    """What `gradient_of(objective_of(…))` is, computed in tiles of `size` pixels.

    Args:
        extractor, content, styles, recipe: as in `objective_of`.
        size: of a tile, in pixels on each side.
        show_tile: called as show_tile(what, number, count) before each of the tiles, in every pass.
        run_pass: function of (what, tasks) that yields each task's result, in their order: `passes_here`, the default,
            or `passes_of` an executor (workers.py).

    Returns:
        Function of an image that gives ({loss name: float}, gradient of the image's shape).
    """
    run_pass = run_pass or passes_here(extractor, recipe)

    def shown(what, results, tiles):
        for number in range(1, len(tiles) + 1):
            if show_tile:
                show_tile(what, number, len(tiles))
            yield next(results)

    def mean_gram_matrices(style):
        masks = masks_of(style.style_region, style.image, extractor)
        tiles = tiles_of(*style.image.shape[1:3], size, extractor)
        pieces = [(tile, {}, [_own(masks, tile, extractor)]) for tile in tiles]
        sums = _added(shown("painting's sums", run_pass("sums", _tasks(style.image, pieces)), tiles))
        reached = _reached(masks, style.image, extractor)
        return {layer: gram / reached[layer] for layer, gram in sums["gram"][0].items()}

    targets = [mean_gram_matrices(style) for style in styles]
    shares = shares_of(styles)
    masks = [masks_of(region, content, extractor) for region in regions_of(styles)]
    reached = [_reached(mask, content, extractor) for mask in masks]
    positions = _reached({}, content, extractor) | {"image": content.shape[1] * content.shape[2]}
    tiles = tiles_of(*content.shape[1:3], size, extractor)
    content_features = run_pass("content", _tasks(content, [(tile,) for tile in tiles]))
    content_features = shown("photo's features", content_features, tiles)
    pieces = [  # each tile with what stays the same in every step
        (tile, features, [_own(mask, tile, extractor) for mask in masks])
        for tile, features in zip(tiles, content_features, strict=True)
    ]

    def evaluate(image):
        sums = _added(shown("sums", run_pass("sums", _tasks(image, pieces)), tiles))
        with tf.GradientTape() as tape:
            tape.watch(sums)
            losses = loss({**sums, "reached": reached, "positions": positions}, targets, recipe, shares)
        slopes = tape.gradient(losses["total_loss"], sums)
        gradient = np.zeros(image.shape, image.dtype.as_numpy_dtype)
        gradients = shown("gradient", run_pass("gradient", _tasks(image, pieces, slopes)), tiles)
        for (rows, columns), part in zip(tiles, gradients, strict=True):
            gradient[:, rows.seen, columns.seen] += part
        return {name: float(value) for name, value in losses.items()}, tf.constant(gradient)

    return evaluate


def _tasks(image, pieces, *more):
    """A pass, tile by tile: each in its own coordinates, with what it sees of the image and whatever else it needs."""
    for tile, *constants in pieces:
        rows, columns = tile
        shifted = tuple(Strip(*(edge - strip.first_seen for edge in strip)) for strip in tile)
        yield shifted, image[:, rows.seen, columns.seen], *constants, *more


def passes_here(extractor, recipe):
    """Compute the tiles in this process, each when its result is asked for."""
    compute = tile_passes(extractor, tuple(recipe.content_layers), tuple(recipe.style_layers))
    return lambda what, tasks: (compute(what, *task) for task in tasks)


def tile_passes(extractor, content_layers, style_layers):
    """Function of (what, tile, seen, …): a tile's "content" features, "sums", or their "gradient" on what it sees.

    Each is compiled once, for tiles of every size and place.
    """

    def features(tile, seen):
        return _own(extractor(seen), tile, extractor)

    def content(tile, seen):
        own = features(tile, seen)
        return {layer: own[layer] for layer in content_layers}

    def sums(tile, seen, content_features, masks):
        found = measure(seen, features(tile, seen), content_features, style_layers, masks)
        rows, columns = tile
        # A step belongs to the tile of the pixel where it starts, so those from tile to tile count, once.
        down = steps_down(seen[:, rows.own_and_next, columns.own(1)])
        right = steps_right(seen[:, rows.own(1), columns.own_and_next])
        return {"content": found["content"], "gram": found["gram"], "steps": down + right}

    def gradient(tile, seen, content_features, masks, slopes):
        with tf.GradientTape() as tape:
            tape.watch(seen)
            found = sums(tile, seen, content_features, masks)
        return tape.gradient(found, seen, slopes)

    passes = {one.__name__: tf.function(one, autograph=False) for one in (content, sums, gradient)}

    def compute(what, tile, *arguments):
        return call_at_any_size(passes[what], tf.nest.map_structure(tf.constant, tile), *arguments)

    return compute


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
