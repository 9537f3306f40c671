import io
import os
from types import SimpleNamespace

import pytest

from nst_keras.progress import ProgressBar, SafeStream, new_bar

LOSSES = {"total_loss": 3.0, "content_loss": 1.0, "style_loss": 10.0}


class Picture:
    shape = (1, 43, 64, 3)


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


def pipe_without_reader():
    reading, writing = os.pipe()
    os.close(reading)
    return open(writing, "w", buffering=1)


class NeverThere(io.TextIOBase):
    def write(self, text):
        raise io.UnsupportedOperation("write")


BROKEN = {"none": lambda: None, "closed": closed, "pipe": pipe_without_reader, "unsupported": NeverThere}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of the pipe, when it is thrown away
@pytest.mark.parametrize("broken", BROKEN)
def test_a_stream_that_fails_is_no_reason_to_stop(broken, monkeypatch):
    stream = SafeStream(BROKEN[broken]())
    stream.write("lost\n")
    stream.flush()
    monkeypatch.setattr("sys.stderr", BROKEN[broken]())
    with ProgressBar([(43, 64, 2)], verbose=1) as bar:
        bar.update(1, LOSSES, Picture)
        bar.update(2, LOSSES, Picture)


def test_letters_that_a_stream_does_not_know_are_written_in_others():
    ascii_only = io.TextIOWrapper(io.BytesIO(), "ascii")
    stream = SafeStream(ascii_only)
    stream.write("64×43 β")
    stream.flush()
    assert ascii_only.buffer.getvalue() == b"64\\xd743 \\u03b2"


def test_the_bar_counts_work_not_steps(capsys):
    """A step at 64×43 and one at 128×86 pixels: the first is little of the work."""
    with ProgressBar([(43, 64, 1), (86, 128, 1)], verbose=1) as bar:
        bar.bar.mininterval = 0
        bar.update(1, LOSSES, Picture)
    work = [(height + 16) * (width + 16) for height, width in ((43, 64), (86, 128))]
    shown = capsys.readouterr().err.split("\r")[-1]
    assert shown.startswith(f"{100 * work[0] / sum(work):3.0f} %")
    assert "64×43 step 1: total 3, content 1, style 10" in shown


def test_runs_that_share_a_bar_fill_the_same_part_of_it(capsys):
    """However large they are, and to the last digit: tqdm complains of a bar that is more than full."""
    with new_bar(total=3) as bar:
        bar.mininterval = 0
        for height, width, steps in ((43, 64, 7), (86, 128, 3), (430, 640, 11)):
            with ProgressBar([(height, width, steps)], bar) as run:
                for step in range(steps):
                    run.update(step, LOSSES, SimpleNamespace(shape=(1, height, width, 3)))
    assert bar.n == 3
    shown = capsys.readouterr().err
    for share in (5, 33, 44, 67, 100):
        assert f"\r{share:3} % " in shown
    assert shown.count("\n") == 1


def test_nothing_is_shown_where_nothing_is_wanted(capsys):
    with ProgressBar([(43, 64, 1)], verbose=0) as bar:
        bar.update(1, LOSSES, Picture)
    assert capsys.readouterr().err == ""
