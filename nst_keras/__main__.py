"""The command line: nst-keras CONTENT STYLE [STYLE …] -o OUT, or of several photos PHOTO … --style STYLE -o FOLDER."""

import os
import signal
import sys
import warnings
from contextlib import suppress
from dataclasses import fields
from pathlib import Path

from nst_keras.checkpoints import path_beside
from nst_keras.cluster import executor_at
from nst_keras.folders import results_of
from nst_keras.jobs import check_files, check_sources, job_of, open_photo, open_start, open_styles, saving, stylise
from nst_keras.options import build_parser
from nst_keras.pictures import shape_of
from nst_keras.progress import SafeStream, new_bar
from nst_keras.ranges import short
from nst_keras.recipe import Recipe

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]  # on Windows two
STATUS = {None: 0, "interrupted": 130, "diverged": 1, "out of memory": 1, "workers lost": 1, "failed": 1}


def main(arguments=None):
    """Run the command line; return the exit status.

    0 if all went well, 2 for bad input, 1 for a run that diverged or a photo of several that failed, 130 for a stopped
    run.
    """
    try:
        options = build_parser().parse_args(arguments)
        recipe = Recipe(**{knob.name: vars(options)[knob.name] for knob in fields(Recipe) if knob.name in options})
        check_sources(options)
        return (paint_several if options.paintings else paint_one)(options, recipe)
    except KeyboardInterrupt:
        for number in SIGNALS:  # another Ctrl-C would cut our answer to the first
            signal.signal(number, signal.SIG_IGN)
        say("\nStopped before the first step; nothing was saved.")
        return 130
    except (OSError, ValueError, ImportError, MemoryError) as error:
        say(sentence_of(error))
        return 2
    finally:
        for stream in (sys.stdout, sys.stderr):
            forget_what_cannot_be_written(stream)


def paint_one(options, recipe):
    """Check everything that needs no TensorFlow, which takes seconds; then paint, save, and return the exit status."""
    output = Path(os.path.expanduser(options.output))
    options.gif = options.gif if options.gif is None else Path(os.path.expanduser(options.gif))
    check_files([output], options.photos, options)
    content, recipe = open_photo(options.content, recipe)
    styles = open_styles(options, recipe, shape_of(content))
    job = job_of(content, recipe, styles, open_start(recipe), output, options, options.resume)
    with StoppedBySignals() as stop, executor_at(options.workers) as workers:
        from nst_keras import load_vgg16  # takes seconds

        history = stylise(job, options, load_vgg16(options.weights, options.pooling), workers, stop)
        for path in filter(None, (output, options.gif)):
            say(f"Saved {path}", sys.stdout)
        if job.checkpoint.path.exists():
            say(f"Interrupted after step {history.epoch[-1]}. The same command with --resume goes on.")
    return STATUS[history.params["stopped"]]


def paint_several(options, recipe):
    """The same for several photos: one that fails stops nothing, and is named at the end."""
    folder = Path(os.path.expanduser(options.output))
    results = results_of(options.photos, options.styles, folder)
    styles, start = open_styles(options, recipe), open_start(recipe)
    with saving(folder, "; choose another folder"):
        folder.mkdir(parents=True, exist_ok=True)
    check_files(list(results.values()), results, options)
    begun = [photo for photo, result in results.items() if options.resume and path_beside(result).exists()]
    left = [photo for photo, result in results.items() if photo in begun or not (options.resume and result.exists())]

    def open_job(photo):
        return job_of(*open_photo(photo, recipe), styles, start, results[photo], options, resume=photo in begun)

    for photo in begun:
        open_job(photo)  # other arguments are refused before anything is painted
    if not left:
        say(f"Nothing is left to paint: {folder} holds all results.", sys.stdout)
        return 0
    return paint_each(left, list(results), open_job, options)


def paint_each(left, photos, open_job, options):
    """Paint those of the photos that are left, say what went wrong, and return the exit status."""
    saved, status, notes = 0, 0, []
    with StoppedBySignals() as stop, executor_at(options.workers) as workers:
        from nst_keras import load_vgg16

        vgg16 = load_vgg16(options.weights, options.pooling)
        with new_bar(total=len(photos), initial=len(photos) - len(left)) as bar:
            try:
                for place, photo in enumerate(left):
                    when = "before the first step"
                    stop.begin()
                    bar.set_postfix_str("", refresh=False)
                    number = f"photo {photos.index(photo) + 1} of {len(photos)}"
                    bar.set_description_str(f"{number}: {short(photo.name, 30)} ")
                    try:
                        with warnings.catch_warnings(record=True) as caught:
                            history = stylise(open_job(photo), options, vgg16, workers, stop, bar)
                    except (OSError, ValueError, MemoryError) as error:
                        status = STATUS["failed"]
                        notes.append(sentence_of(error, photo))
                        continue
                    finally:
                        bar.total = bar.n + (len(left) - place - 1)  # one that failed took no work
                    saved += 1
                    status = max(status, STATUS[history.params["stopped"]])
                    notes += [sentence_of(warning.message, photo) for warning in caught]
                    if history.params["stopped"] == "interrupted":
                        when = f"after step {history.epoch[-1]}"
                        raise KeyboardInterrupt
            except KeyboardInterrupt:
                status = STATUS["interrupted"]
                again = "The same command with --resume goes on, and paints what is not there yet."
                notes.append(f"Interrupted {when} of {photo}. {again}")
        if saved:
            say(f"Saved {saved} picture{'s' * (saved > 1)} in {options.output}", sys.stdout)
        for note in notes:
            say(note)
    return status


class StoppedBySignals:
    """A callback that answers Ctrl-C, a kill, and a terminal that is closed.

    Before the first step of a picture they end the program, later the run, after its step: none comes between picture
    and disk. Once is enough: a program that ends is not to be disturbed.
    """

    def __init__(self):
        self.asked = self.painting = False

    def __enter__(self):
        heeded = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]  # nohup wants it ignored
        self.before = {number: signal.signal(number, self.answer) for number in heeded}
        return self

    def __exit__(self, *error):
        for number, handler in self.before.items():
            signal.signal(number, signal.SIG_IGN if self.asked else handler)

    def begin(self):
        """The next picture begins, unless a signal came while the last one was saved."""
        self.painting = False
        if self.asked:
            raise KeyboardInterrupt

    def answer(self, number, frame):
        first, self.asked = not self.asked, True
        if first and not self.painting:
            raise KeyboardInterrupt

    def __call__(self, step, losses, image):
        self.painting = True
        if self.asked:
            raise KeyboardInterrupt


def sentence_of(error, photo=""):
    """What an error says, on one line that names the photo it is about."""
    text = " ".join(str(error or "There is not enough memory; choose a smaller --size.").splitlines())
    return f"nst-keras: {text if str(photo) in text else f'{photo}: {text}'}"


def say(text, stream=None):
    """Print a line, on a stream that may fail; on stderr unless told otherwise."""
    print(text, file=SafeStream(stream or sys.stderr), flush=True)


def forget_what_cannot_be_written(stream):
    """Python would try once more when it ends, and complain."""
    try:
        if stream:
            stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):  # it is closed: nothing is left to be written
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    sys.exit(main())
