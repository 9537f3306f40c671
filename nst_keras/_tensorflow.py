"""Import TensorFlow quietly, in the one place that does.

TensorFlow's C++ runtime writes start-up lines straight to file descriptor 2, whatever the log level.
In a notebook they would become outputs, on the command line they would bury the progress bar.
"""

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

            tf.zeros(())  # the first operation prints the last of the start-up lines
        except BaseException:
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
