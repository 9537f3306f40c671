"""What a long run says while it works, on streams that may fail without costing a picture."""

import sys
from contextlib import suppress

from tqdm import tqdm

from nst_keras.recipe import MARGIN


class SafeStream:
    """Writes to a stream that may be closed, full, or unable to write a letter: none of it may cost a picture."""

    def __init__(self, stream):
        self.stream = stream

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def write(self, text):
        with suppress(OSError, ValueError, AttributeError):  # ValueError: it is closed; None has no method `write`
            encoding = getattr(self.stream, "encoding", None)
            if encoding:
                text = text.encode(encoding, "backslashreplace").decode(encoding)
            self.stream.write(text)

    def flush(self):
        with suppress(OSError, ValueError, AttributeError):
            self.stream.flush()


class ProgressBar:
    """The share of the work that is done, the remaining time and the losses; `with` closes it, whatever happens.

    Args:
        stages: [(height, width, steps)] of the run.
        verbose: 1, or 0 for nothing to be seen; or a bar of several runs, from `new_bar`, of which this one fills 1.
    """

    def __init__(self, stages, verbose):
        self.shared = hasattr(verbose, "update")
        if not self.shared and verbose not in (0, 1):
            raise ValueError(f"verbose is 1 for a progress bar or 0 for none, not {verbose!r}.")
        self.last = "the first step"
        self.work = sum(steps * work(height, width) for height, width, steps in stages)
        self.bar = verbose if self.shared else new_bar(total=1, disable=not verbose)
        self.start, self.done = self.bar.n, 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if not self.shared:
            self.bar.close()

    def update(self, step, losses, image):
        height, width = image.shape[1:3]
        values = (f"{name} {losses[name + '_loss']:.3g}" for name in ("total", "content", "style"))
        self.last = f"{width}×{height} step {step}: {', '.join(values)}"
        self.bar.set_postfix_str(self.last, refresh=False)
        self.done += work(height, width)
        self.bar.update(self.start + self.done / self.work - self.bar.n)  # so that the end is 1, not 0.9999 or 1.0001

    def show_tile(self, what, number, count):
        """A step in tiles takes long: show that it gets on."""
        self.bar.set_postfix_str(f"{self.last}; {what} of tile {number} of {count}", refresh=False)
        self.bar.update(0)

    def say(self, text):
        if not self.bar.disable:
            self.bar.write(text, file=self.bar.fp)


def new_bar(**options):
    """A bar of tqdm in our words; it takes what tqdm takes."""
    return tqdm(
        **options,
        bar_format="{desc}{percentage:3.0f} % {bar:10} {elapsed}, {remaining} left{postfix}",
        mininterval=1,
        miniters=0,  # else tqdm waits for an advance of its own guess, and show_tile advances by nothing
        dynamic_ncols=True,
        file=SafeStream(sys.stderr),
    )


def work(height, width):
    """A step takes about as long as the canvas has pixels."""
    return (height + 2 * MARGIN) * (width + 2 * MARGIN)
