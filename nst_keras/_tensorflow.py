"""Import TensorFlow quietly, in the one place that does.

TensorFlow's C++ runtime writes start-up lines straight to file descriptor 2, whatever the log level.
In a notebook they would become outputs, on the command line they would bury the progress bar.
Nothing is computed here: the first operation fixes TensorFlow's threads and devices, which is the caller's choice.
"""

import functools
import os
import sys
import tempfile


def _import_quietly():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if sys.stderr:
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # the program was started without a standard error
        kept = os.open(os.devnull, os.O_WRONLY)
    with tempfile.TemporaryFile() as noise:
        os.dup2(noise.fileno(), 2)
        try:
            import tensorflow as tf
        except Exception:  # a Ctrl-C has no need of TensorFlow's remarks
            noise.seek(0)
            os.write(kept, noise.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    return tf


tf = _import_quietly()

try:
    import keras  # after TensorFlow, which it would import with all its noise

    _backend = keras.config.backend()
except ModuleNotFoundError as error:  # a backend that is asked for but not installed
    _backend = error.name

if _backend != "tensorflow":
    raise ImportError(
        f"nst_keras needs Keras on TensorFlow, but Keras is set to run on {_backend}: tf.GradientTape would see no "
        "gradient. Set the environment variable KERAS_BACKEND=tensorflow, "
        'or "backend": "tensorflow" in ~/.keras/keras.json, and start Python again.'
    )


def call_at_any_size(function, *inputs):
    """Call a `tf.function` that is compiled once for images, maps and kernels, (…, h, w, channels), of every size."""

    def kind(tensor):
        is_map = tensor.shape.rank == 4
        return tf.TensorSpec((tensor.shape[0], None, None, tensor.shape[-1]) if is_map else tensor.shape, tensor.dtype)

    return function.get_concrete_function(*tf.nest.map_structure(kind, inputs))(*inputs)


def compiled_once(function):
    """The function; where it becomes part of a `tf.function`, it's compiled by itself, once.

    For a function with a gradient of ours: TensorFlow never forgets it, nor the graph that it's compiled in.
    """
    compiled = tf.function(function, autograph=False)

    @functools.wraps(function)
    def call(*inputs):
        return function(*inputs) if tf.executing_eagerly() else call_at_any_size(compiled, *inputs)

    return call


def check_eager():
    """Refuse the graph mode of TensorFlow 1, in which a tensor has no value yet."""
    if not tf.compat.v1.executing_eagerly_outside_functions():
        raise RuntimeError(
            "TensorFlow is set to graph mode (tf.compat.v1.disable_eager_execution or disable_v2_behavior), in which "
            "nst_keras cannot compute; leave that call out, and start Python again."
        )
