"""The command line: nst-keras CONTENT STYLE [STYLE …] -o OUT, or of several photos PHOTO … --style STYLE -o FOLDER."""

import os
import signal
import sys
import warnings
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path

from nst_keras.checkpoints import path_beside
from nst_keras.cluster import executor_at
from nst_keras.folders import results_of
from nst_keras.jobs import (
    check_files,
    check_sources,
    finish,
    job_of,
    open_photo,
    open_start,
    open_styles,
    paint_for,
    saving,
    stylise,
)
from nst_keras.options import build_parser
from nst_keras.pictures import shape_of
from nst_keras.progress import SafeStream, new_bar
from nst_keras.ranges import named, short
from nst_keras.recipe import Recipe

IN_FLIGHT = 32  # photos at the workers at a time: each is kept in memory until its picture is there
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

        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *where: say(sentence_of(message))
            history = stylise(job, options, load_vgg16(options.weights, options.pooling), workers, stop)
        for path in filter(None, (output, options.gif)):
            say(f"Saved {path}", sys.stdout)
        if job.checkpoint.path.exists():
            say(f"Interrupted after step {history.epoch[-1]}. The same command with --resume goes on.")
    return STATUS[history.params["stopped"]]


def paint_several(options, recipe):
    """The same for several photos: one that fails stops nothing, and is named at the end."""
    if options.output in ("", "-"):
        raise ValueError(f"Several photos need a folder for their results; name one after -o, not {options.output!r}.")
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
        say(f"Nothing is left to paint: {folder} holds all results, painted in this way or another.", sys.stdout)
        return 0
    report = Report()
    with StoppedBySignals() as stop, executor_at(options.workers) as workers:
        with new_bar(total=len(results), initial=len(results) - len(left)) as bar:
            if workers:
                paint_side_by_side(left, open_job, options, workers, bar, report)
            else:
                paint_in_turn(left, list(results), open_job, options, stop, bar, report)
        report.say(options.output)
    return report.status


class Report:
    """What came of several photos: how many pictures were saved, the exit status, and what is said at the end."""

    def __init__(self):
        self.saved, self.lost, self.status, self.notes = 0, 0, 0, []

    def failed(self, photo, error):
        self.lost += 1
        self.status = max(self.status, STATUS["failed"])
        self.notes.append(sentence_of(error, photo))

    def painted(self, photo, stopped, warned):
        self.saved += 1
        self.status = max(self.status, STATUS[stopped])
        self.notes += [sentence_of(message, photo) for message in warned]

    def interrupted(self, where, goes_on="goes on, and "):
        self.status = STATUS["interrupted"]
        self.notes.append(f"Interrupted {where}. The same command with --resume {goes_on}paints what is not there yet.")

    def say(self, folder):
        if self.saved:
            but = f"; {self.lost} failed" if self.lost else ""
            say(f"Saved {self.saved} picture{'s' * (self.saved > 1)} in {folder}{but}", sys.stdout)
        for note in self.notes:
            say(note)


def paint_in_turn(left, photos, open_job, options, stop, bar, report):
    """Paint those of the photos that are left, one after the other."""
    from nst_keras import load_vgg16

    vgg16 = load_vgg16(options.weights, options.pooling)
    for place, photo in enumerate(left):
        when = "before the first step"
        try:
            stop.begin()
            bar.set_postfix_str("", refresh=False)
            name = "".join(letter if letter.isprintable() else "?" for letter in short(photo.name, 30))
            bar.set_description_str(f"photo {photos.index(photo) + 1} of {len(photos)}: {name} ")
            with warnings.catch_warnings(record=True) as caught:
                history = stylise(open_job(photo), options, vgg16, None, stop, bar)
            report.painted(photo, history.params["stopped"], [warning.message for warning in caught])
            if history.params["stopped"] == "interrupted":
                when = f"after step {history.epoch[-1]}"
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            return report.interrupted(f"{when} of {photo}")
        except (OSError, ValueError, MemoryError) as error:
            report.failed(photo, error)
        finally:
            bar.total = bar.n + (len(left) - place - 1)  # one that failed took no work


def paint_side_by_side(left, open_job, options, workers, bar, report):
    """Paint the photos that are left as tasks of an executor, each on one worker."""
    waiting, running = list(reversed(left)), {}
    bar.set_description_str("photos ")
    try:
        while waiting or running:
            while waiting and len(running) < IN_FLIGHT:
                photo = waiting.pop()
                with failing(photo, bar, report):
                    job = open_job(photo)
                    running[workers.submit(paint_for, job, options)] = photo, job
            for task in wait(running, timeout=1, return_when=FIRST_COMPLETED).done:
                photo, job = running.pop(task)
                with failing(photo, bar, report):
                    image, stopped, warned = task.result()
                    finish(job, image, options)
                    report.painted(photo, stopped, warned)
                    bar.update(1)
            bar.update(0)  # so that its clock goes on
    except KeyboardInterrupt:
        for task in running:
            task.cancel()
        report.interrupted(f"with {bar.total - bar.n} of {bar.total} photos left", goes_on="")


@contextmanager
def failing(photo, bar, report):
    """A photo that fails is counted, and stops nothing."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, (OSError, ValueError, MemoryError)):  # each kind of executor has its own
            error = ConnectionError(f"The workers or their scheduler gave up ({named(error)}).")
        report.failed(photo, error)
        bar.update(1)


class StoppedBySignals:
    """A callback that answers Ctrl-C, a kill, and a terminal that is closed.

    Before the first step of a picture they end the program, later the run: at once while it computes a tile, for which
    it may wait long, else after the step. So none comes between picture and disk. Once is enough: a program that ends
    is not to be disturbed.
    """

    def __init__(self):
        self.asked = self.holding = False

    def __enter__(self):
        heeded = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]  # nohup wants it ignored
        self.before = {number: signal.signal(number, self.answer) for number in heeded}
        return self

    def __exit__(self, *error):
        for number, handler in self.before.items():
            signal.signal(number, signal.SIG_IGN if self.asked else handler)

    def begin(self):
        """The next picture begins, unless a signal came while the last one was saved."""
        self.on_tile()

    def answer(self, number, frame):
        first, self.asked = not self.asked, True
        if first and not self.holding:
            raise KeyboardInterrupt

    def hold(self, step, losses, image):
        """The first of the callbacks: what follows must not be cut."""
        self.holding = True

    def __call__(self, step, losses, image):
        """The last of them."""
        if self.asked:
            raise KeyboardInterrupt

    def on_tile(self, *which):
        self.holding = False
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
