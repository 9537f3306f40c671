"""The picture so far, in a file beside the output, from which an interrupted run can go on."""

import hashlib
import json
import time
from contextlib import suppress

import numpy as np

from nst_keras.pictures import replacing

SECONDS_BETWEEN_CHECKPOINTS = 10


def fingerprint(picture):
    """A few letters that tell one picture from another, of what `open_picture` returns."""
    return hashlib.sha256(np.ascontiguousarray(picture)).hexdigest()[:16]


def path_beside(output):
    """Where the checkpoint of a run lies that saves its picture as `output`."""
    return output.parent / (output.name + ".checkpoint.npz")


class Checkpoint:
    """Saves a run now and then, and gives back what is needed to go on.

    Args:
        output: path of the picture that the run is to save.
        arguments: all that makes the picture what it is, as {name: plain value}; a run goes on only with the same.
    """

    def __init__(self, output, arguments):
        self.path = path_beside(output)
        self.arguments = json.loads(json.dumps(arguments))  # as they come back: tuples as lists
        self.saved = time.monotonic()
        self.latest = None

    def save_now_and_then(self, step, losses, image):
        """A callback for `transfer_style`."""
        self.latest = {"step": step, "image": image.numpy()}
        if time.monotonic() - self.saved > SECONDS_BETWEEN_CHECKPOINTS:
            with suppress(OSError):  # a full disk is no reason to give up the run
                self.save()

    def save(self):
        """Save the latest picture; the file appears whole or not at all."""
        with replacing(self.path) as unfinished:
            np.savez(unfinished, arguments=json.dumps(self.arguments), **self.latest)
        self.saved = time.monotonic()

    def load(self):
        """Return (image, step) of the interrupted run.

        Raises:
            FileNotFoundError, ValueError: if there is none, if it is damaged, or of a run with other arguments.
        """
        if not self.path.is_file():
            raise FileNotFoundError(f"There is no {self.path} to resume from: a run that is interrupted leaves one.")
        try:
            with np.load(self.path, allow_pickle=False) as saved:
                arguments, step, image = dict(json.loads(str(saved["arguments"]))), int(saved["step"]), saved["image"]
        except Exception as error:  # a damaged file raises anything
            raise ValueError(f"{self.path} is damaged ({error}); delete it and start again.") from error
        now = self.arguments
        changed = [
            f"another {name}"
            if name.endswith("picture")  # of which it knows the fingerprint only
            else f"{name} was {arguments.get(name, 'not there')}, now {now.get(name, 'not there')}"
            for name in (*arguments, *(now.keys() - arguments.keys()))
            if arguments.get(name) != now.get(name)
        ]
        if changed:
            raise ValueError(
                f"{self.path} is of a run with other arguments ({'; '.join(changed)}). Give the same ones to resume."
            )
        return image, step
