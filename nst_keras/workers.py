"""Other machines: what a pass does with a tile is a task of an executor, with the interface of `concurrent.futures`.

The executor decides who computes what, and when. A task holds all that it needs, as NumPy arrays, so if one worker is
lost, another can do it again. Only VGG16 isn't sent: a worker loads it for itself, once.
"""

import functools
import hashlib
from typing import NamedTuple

from nst_keras._tensorflow import keras, tf
from nst_keras.features import FeatureExtractor, load_vgg16
from nst_keras.pictures import without_warnings
from nst_keras.ranges import named
from nst_keras.tiles import tile_passes

WORKERS_TILE = 512  # with tile="auto": a worker needs 1.1 GB for it, and sees 1.5 times as many pixels


class WorkersLost(Exception):
    """The executor has nobody left who does the tasks."""


class Setup(NamedTuple):
    """What all tasks of a run have in common: a worker makes its network and its functions by this."""

    weights: str
    pooling: str
    dtype_policy: str
    floatx: str
    fingerprint: str
    content_layers: tuple
    style_layers: tuple


def passes_of(executor, extractor, recipe):
    """Let the workers of an executor compute the tiles.

    Returns:
        A `run_pass` for `tiled_gradient`.

    Raises:
        ValueError: if it is no executor, or a worker could not load this network for itself.
    """
    if not callable(getattr(executor, "map", None)):
        raise ValueError(
            "workers is an executor, as of concurrent.futures or Dask's Client.get_executor(), not "
            f"{type(executor).__name__}."
        )
    if extractor.origin is None:
        raise ValueError("With workers, vgg16 must come from load_vgg16: each of them loads the network for itself.")
    network = (*extractor.origin, extractor.dtype_policy, keras.config.floatx(), _fingerprint(extractor))
    setup = Setup(*network, tuple(recipe.content_layers), tuple(recipe.style_layers))

    def run_pass(what, tasks):
        tasks = [(tile, *tf.nest.map_structure(_array, data)) for tile, *data in tasks]
        try:
            with without_warnings():  # Dask thinks that a tile is large
                results = executor.map(functools.partial(compute, setup, what), tasks)
            for result in results:
                yield tf.nest.map_structure(tf.constant, result)
        except (ValueError, FileNotFoundError, MemoryError, tf.errors.OpError):
            raise  # a task's own
        except Exception as error:  # each kind of executor has its own
            raise WorkersLost(f"The workers gave up ({named(error)})") from error

    return run_pass


def compute(setup, what, task):
    """A task: what `tile_passes` gives for one tile, in NumPy arrays."""
    keras.config.set_floatx(setup.floatx)
    tile, *data = task
    return tf.nest.map_structure(_array, _passes(setup)(what, tile, *tf.nest.map_structure(tf.constant, data)))


@functools.lru_cache(maxsize=1)  # what is compiled for a network takes nearly as much memory as the network
def _passes(setup):
    return tile_passes(_extractor(*setup), setup.content_layers, setup.style_layers)


def _extractor(weights, pooling, dtype_policy, floatx, fingerprint, content_layers, style_layers):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype_policy)
    try:
        extractor = FeatureExtractor(dict.fromkeys(content_layers + style_layers), load_vgg16(weights, pooling))
    finally:
        keras.config.set_dtype_policy(before)
    if _fingerprint(extractor) != fingerprint:
        raise ValueError(f"A worker's VGG16 of {weights!r} has other weights than the one here: give it the same.")
    return extractor


def _fingerprint(extractor):
    digest = hashlib.sha256()
    for values in extractor.model.get_weights():
        digest.update(values)
    return digest.hexdigest()


def _array(tensor):
    return tensor.numpy()
