"""Several photos in one call: nst-keras PHOTO … --style PAINTING -o FOLDER."""

import io
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from nst_keras import features, images, load_image, training
from nst_keras.__main__ import main
from nst_keras.folders import results_of
from nst_keras.options import build_parser
from nst_keras.pictures import BUNDLED
from nst_keras.progress import new_bar

ROOT = Path(__file__).parents[1]
SMALL = ["--size", "48", "--steps", "3", "--content-layers", "block1_conv1", "--style-layers", "block1_conv1"]

GOES_ON = "The same command with --resume goes on, and paints what is not there yet."


def save_noise(path, width=60, height=40):
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of three photos, in the folder where we are."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    save_noise(folder / "a.png", 60, 40)
    save_noise(folder / "b.jpg", 40, 60)
    save_noise(folder / "c.JPG", 50, 50)
    return folder


def names_in(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def at_step(photo, step, monkeypatch, act):
    """Call `act` at this step of this photo, counted from 1."""
    transfer_style, runs = training.transfer_style, []

    def watched(*arguments, callbacks, **options):
        runs.append(arguments)

        def callback(now, losses, image):
            if (len(runs), now) == (photo, step):
                act()

        return transfer_style(*arguments, callbacks=[callback, *callbacks], **options)

    monkeypatch.setattr(training, "transfer_style", watched)
    return runs


def no_memory_for_squares(monkeypatch):
    """Let c.JPG not fit into memory."""
    plan_memory = training.plan_memory

    def full(height, width, *rest):
        if height == width:
            raise MemoryError("It needs 9 GB.")
        return plan_memory(height, width, *rest)

    monkeypatch.setattr(training, "plan_memory", full)


def ctrl_c():
    raise KeyboardInterrupt


def test_every_photo_becomes_what_it_becomes_by_itself(photos, monkeypatch, capsys):
    """Bit for bit; and for all of them the network is loaded once."""
    loaded, load_vgg16 = [], features.load_vgg16
    monkeypatch.setattr(features, "load_vgg16", lambda *options: loaded.append(options) or load_vgg16(*options))
    options = ["--shares", "2,1", "--match-colours", *SMALL]
    assert main(["photos", "-s", "poppies", "--style", "great_wave", "-o", "new/out", *options]) == 0
    assert len(loaded) == 1
    assert capsys.readouterr().out == "Saved 3 pictures in new/out\n"
    assert names_in("new/out") == ["a.png", "b.png", "c.png"]
    for photo, result in (("b.jpg", "b.png"), ("c.JPG", "c.png")):
        assert main([str(photos / photo), "poppies", "great_wave", "-o", result, *options]) == 0
        assert Path(result).read_bytes() == Path("new/out", result).read_bytes()


def test_one_bar_shows_the_whole(photos, monkeypatch, capsys):
    def every_step(**options):
        bar = new_bar(**options)
        bar.mininterval = 0
        return bar

    monkeypatch.setattr("nst_keras.__main__.new_bar", every_step)
    (photos / "bad.jpg").write_bytes(b"no picture")
    assert main(["photos", "cat", "-s", "poppies", "-o", "out", *SMALL]) == 1
    bar, *notes, end = capsys.readouterr().err.split("\n")
    assert (len(notes), end) == (1, "")
    seen = re.findall(r"photo (\d) of 5: ([\w.]+) +(\d+) % [^\r]* left(, 48×32 step 1)?", bar)
    assert list(dict.fromkeys((number, name) for number, name, *_ in seen)) == [
        *(("1", "a.png"), ("2", "b.jpg"), ("3", "bad.jpg"), ("4", "c.JPG"), ("5", "cat.jpg"))
    ]
    shares = [int(share) for *_, share, _ in seen]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 100)
    assert next(int(share) for *_, share, first in seen if first) == 7  # one of three steps of one of five photos


def test_a_photo_that_fails_stops_nothing_and_is_named(photos, monkeypatch, capsys):
    (photos / "0.jpg").write_bytes(b"no picture")
    save_noise(photos / "b.jpg", 200, 2)
    no_memory_for_squares(monkeypatch)
    assert main(["photos", "-s", "poppies", "-o", "out", *SMALL]) == 1
    shown = capsys.readouterr()
    assert shown.out == "Saved 1 picture in out; 3 failed\n"
    assert names_in("out") == ["a.png"]
    photos = Path("photos")
    reasons = shown.err.splitlines()[-3:]
    assert reasons[0].startswith(f"nst-keras: {photos / '0.jpg'} is not an image that Pillow can read;")
    assert reasons[1].startswith(f"nst-keras: {photos / 'b.jpg'} has 200×2 pixels, which size 48 makes 48×1")
    assert reasons[2] == f"nst-keras: {photos / 'c.JPG'}: It needs 9 GB."


def test_a_run_that_diverges_is_named_and_its_picture_is_kept(photos, monkeypatch, capsys):
    def transfer_style(content, *arguments, **options):
        stopped = "diverged" if content.size == (60, 40) else None
        if stopped:
            warnings.warn("The total loss became inf after step 2.", stacklevel=2)
        return load_image(content), SimpleNamespace(params={"stopped": stopped}, epoch=[1, 2])

    monkeypatch.setattr(training, "transfer_style", transfer_style)
    assert main(["photos", "-s", "poppies", "-o", "out", *SMALL]) == 1
    assert names_in("out") == ["a.png", "b.png", "c.png"]
    photo = Path("photos", "a.png")
    assert capsys.readouterr().err.splitlines()[-1] == (f"nst-keras: {photo}: The total loss became inf after step 2.")


def test_a_single_run_that_diverges_says_so_in_a_sentence(tmp_path, monkeypatch, capsys):
    def transfer_style(content, *arguments, **options):
        warnings.warn("The total loss became inf after step 2.", stacklevel=2)
        return load_image(content), SimpleNamespace(params={"stopped": "diverged"}, epoch=[1, 2])

    monkeypatch.setattr(training, "transfer_style", transfer_style)
    assert main(["cat", "poppies", "-o", str(tmp_path / "out.png"), *SMALL]) == 1
    assert capsys.readouterr().err == "nst-keras: The total loss became inf after step 2.\n"

    def no_room(output, image):
        raise OSError("There is no room.")

    monkeypatch.setattr("nst_keras.jobs.save_somewhere", no_room)
    assert main(["cat", "poppies", "-o", str(tmp_path / "other.png"), *SMALL]) == 2
    says = ["nst-keras: The total loss became inf after step 2.", "nst-keras: There is no room."]
    assert capsys.readouterr().err.splitlines() == says


def test_ctrl_c_stops_the_whole_and_resume_goes_on(photos, monkeypatch, capsys):
    command = ["photos", "-s", "poppies", "-o", "out", *SMALL]
    assert main(["photos/b.jpg", "-s", "poppies", "-o", "whole", *SMALL]) == 0
    with monkeypatch.context() as patch:
        runs = at_step(2, 2, patch, ctrl_c)
        assert main(command) == 130
    assert len(runs) == 2
    photo = Path("photos", "b.jpg")
    assert capsys.readouterr().err.splitlines()[-1] == (f"Interrupted after step 2 of {photo}. {GOES_ON}")
    assert names_in("out") == ["a.png", "b.png", "b.png.checkpoint.npz"]

    Path("out", "a.png").write_bytes(b"done")  # it must not be done again
    assert main([*command, "--seed", "1", "--resume"]) == 2
    assert "a run with other arguments (seed was 0, now 1)" in capsys.readouterr().err
    assert names_in("out") == ["a.png", "b.png", "b.png.checkpoint.npz"]

    with monkeypatch.context() as patch:
        runs = at_step(0, 0, patch, ctrl_c)
        assert main([*command, "--resume"]) == 0
    assert len(runs) == 2
    assert names_in("out") == ["a.png", "b.png", "c.png"]
    assert Path("out", "a.png").read_bytes() == b"done"
    shown = capsys.readouterr()
    assert shown.out == "Saved 2 pictures in out\n"
    assert "photo 2 of 3: b.jpg  33 %" in shown.err
    # The steps are repeated from the picture as it was, which is not the noise.
    assert np.abs(load_image("out/b.png") - load_image("whole/b.png")).mean() < 0.1

    runs = at_step(0, 0, monkeypatch, ctrl_c)
    says = "Nothing is left to paint: out holds all results, painted in this way or another.\n"
    assert main([*command, "--resume"]) == 0
    assert (len(runs), capsys.readouterr().out) == (0, says)


def test_ctrl_c_before_the_first_step_of_a_photo_stops_the_whole(photos, monkeypatch, capsys):
    targets_of, calls = training.targets_of, []

    def interrupted(*arguments):
        calls.append(arguments)
        return ctrl_c() if len(calls) == 2 else targets_of(*arguments)

    (photos / "0.jpg").write_bytes(b"no picture")
    monkeypatch.setattr(training, "targets_of", interrupted)
    assert main(["photos", "-s", "poppies", "-o", "out", *SMALL]) == 130
    assert names_in("out") == ["a.png"]
    *_, unreadable, stopped = capsys.readouterr().err.splitlines()
    assert "0.jpg is not an image" in unreadable
    photo = Path("photos", "b.jpg")
    assert stopped == f"Interrupted before the first step of {photo}. {GOES_ON}"


def side_by_side(monkeypatch, executor):
    """Let the command line find this executor at every address."""
    monkeypatch.setattr("nst_keras.__main__.executor_at", lambda address: nullcontext(address and executor))


@pytest.mark.parametrize("in_flight", [1, 32])
def test_workers_paint_the_same_pictures_side_by_side(in_flight, photos, monkeypatch, capsys):
    monkeypatch.setattr("nst_keras.__main__.IN_FLIGHT", in_flight)
    command = ["photos", "-s", "poppies", "--keep-colours", *SMALL]
    assert main([*command, "-o", "here"]) == 0
    with ThreadPoolExecutor(2) as executor:
        side_by_side(monkeypatch, executor)
        assert main([*command, "-o", "there", "--workers", "tcp://a:1"]) == 0
    assert names_in("there") == ["a.png", "b.png", "c.png"]
    for name in names_in("there"):
        np.testing.assert_array_equal(Image.open(f"there/{name}"), Image.open(f"here/{name}"))
    shown = capsys.readouterr()
    assert shown.out == "Saved 3 pictures in here\nSaved 3 pictures in there\n"
    assert "photos 100 %" in shown.err


class Fake:
    """An executor whose n-th task does what it is told to, and the others what they are asked for."""

    def __init__(self, number, act):
        self.number, self.act, self.tasks = number, act, []

    def submit(self, function, *arguments):
        self.tasks.append(Future())
        try:
            if len(self.tasks) == self.number:
                self.act()
            self.tasks[-1].set_result(function(*arguments))
        except Exception as error:
            self.tasks[-1].set_exception(error)
        return self.tasks[-1]


def test_photos_that_fail_at_a_worker_stop_nothing_and_are_named(photos, monkeypatch, capsys):
    def lost():
        raise RuntimeError("four workers died")

    (photos / "0.jpg").write_bytes(b"no picture")
    (photos / "d.jpg").write_bytes((photos / "b.jpg").read_bytes())
    no_memory_for_squares(monkeypatch)
    side_by_side(monkeypatch, Fake(2, lost))
    assert main(["photos", "-s", "poppies", "-o", "out", "--workers", "tcp://a:1", *SMALL]) == 1
    assert names_in("out") == ["a.png", "d.png"]
    shown = capsys.readouterr()
    assert shown.out == "Saved 2 pictures in out; 3 failed\n"
    photos, reasons = Path("photos"), shown.err.splitlines()[-3:]
    assert reasons[0].startswith(f"nst-keras: {photos / '0.jpg'} is not an image that Pillow can read;")
    gave_up = "The workers or their scheduler gave up (RuntimeError: four workers died)."
    assert f"nst-keras: {photos / 'b.jpg'}: {gave_up}" in reasons
    assert f"nst-keras: {photos / 'c.JPG'}: It needs 9 GB." in reasons


def test_a_run_that_diverges_at_a_worker_is_named(photos, monkeypatch, capsys):
    side_by_side(monkeypatch, Fake(0, None))
    command = ["photos/a.png", "-s", "poppies", "-o", "out", "--workers", "tcp://a:1", *SMALL]
    assert main([*command, "--optimizer", "adam", "--style-weight", "1e30"]) in (1, 2)
    assert f"nst-keras: {Path('photos', 'a.png')}: The total loss became" in capsys.readouterr().err


def test_ctrl_c_while_workers_paint_and_resume(photos, monkeypatch, capsys):
    command = ["photos", "-s", "poppies", "-o", "out", "--workers", "tcp://a:1", *SMALL]
    monkeypatch.setattr("nst_keras.__main__.IN_FLIGHT", 1)
    side_by_side(monkeypatch, Fake(2, ctrl_c))
    assert main(command) == 130
    assert names_in("out") == ["a.png"]
    says = "Interrupted with 2 of 3 photos left. The same command with --resume paints what is not there yet."
    assert capsys.readouterr().err.splitlines()[-1] == says
    executor = Fake(0, None)
    side_by_side(monkeypatch, executor)
    assert main([*command, "--resume"]) == 0
    assert len(executor.tasks) == 2
    assert names_in("out") == ["a.png", "b.png", "c.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
@pytest.mark.parametrize("stop", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_while_a_picture_is_saved_stops_what_comes_after(stop, photos, monkeypatch, capsys):
    def interrupted(path, image):
        for _ in range(2):  # the second must not cut the answer to the first
            os.kill(os.getpid(), getattr(signal, stop))
            time.sleep(0.05)  # Python answers a signal between two of its instructions
        save_image(path, image)

    signal.signal(getattr(signal, stop), signal.default_int_handler)  # nohup has SIGHUP ignored, and we would heed that
    save_image = images.save_image
    monkeypatch.setattr(images, "save_image", interrupted)
    assert main(["photos", "-s", "poppies", "-o", "out", *SMALL]) == 130
    assert names_in("out") == ["a.png"]
    assert Image.open("out/a.png").size == (48, 32)
    assert "before the first step of" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
def test_ctrl_c_in_a_terminal_at_the_second_photo(photos, start, press_ctrl_c):
    Path("out").mkdir()
    Path("out", "a.png").write_bytes(b"done")
    out = Path("out").resolve()
    command = [sys.executable, "-m", "nst_keras", photos, "-s", "poppies", "-o", out, "--resume", *SMALL]
    run = start([*command, "--steps", "100000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    said, error = press_ctrl_c(run)
    assert run.returncode == 130
    assert said == f"Saved 1 picture in {out}\n"
    assert re.fullmatch(
        rf"Interrupted after step \d+ of {re.escape(str(photos / 'b.jpg'))}. {GOES_ON}",
        error.splitlines()[-1],
    )
    assert names_in(out) == ["a.png", "b.png", "b.png.checkpoint.npz"]


def test_results_are_only_replaced_when_told_to(photos, capsys):
    Path("out").mkdir()
    Path("out", "b.png").write_bytes(b"precious")
    command = ["photos/b.jpg", "photos/a.png", "-s", "poppies", "-o", "out", *SMALL]
    assert main(command) == 2
    assert capsys.readouterr().err == (
        f"nst-keras: {Path('out', 'b.png')} exists; choose another name, or add --overwrite, or --resume to paint what "
        "is not there yet.\n"
    )
    assert names_in("out") == ["b.png"]
    assert Path("out", "b.png").read_bytes() == b"precious"
    assert main([*command, "--overwrite"]) == 0
    assert Image.open("out/b.png").size == (32, 48)


def test_photos_keep_their_own_sizes(photos):
    assert main(["photos/a.png", "photos/b.jpg", "-s", "poppies", "-o", "out", *SMALL, "--size", "original"]) == 0
    assert [Image.open(f"out/{name}.png").size for name in "ab"] == [(60, 40), (40, 60)]


def test_the_painting_can_come_from_stdin(photos, monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(BUNDLED["poppies"].read_bytes())))
    assert main(["photos/a.png", "photos/b.jpg", "-s", "-", "-o", "out", *SMALL]) == 0
    assert main(["photos/b.jpg", "poppies", "-o", "b.png", *SMALL]) == 0
    assert Path("out", "b.png").read_bytes() == Path("b.png").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "photos", "styles", "output"),
    [
        (["a", "p", "q"], ["a"], ["p", "q"], "stylised.png"),
        (["a", "-o", "x", "p"], ["a"], ["p"], "x"),
        (["a", "-s", "p"], ["a"], ["p"], "stylised"),
        (["--style=p", "a", "b", "c", "-sq", "-o", "x"], ["a", "b", "c"], ["p", "q"], "x"),
        (["a", "b", "--style", "p", "--keep-colours"], ["a", "b"], ["p"], "stylised"),
    ],
)
def test_with_style_all_else_are_photos(arguments, photos, styles, output):
    options = build_parser().parse_args(arguments)
    assert (options.photos, options.styles, options.output) == (photos, styles, output)


@pytest.mark.parametrize("option", [["--gif", "film.gif"], ["--regions", "-"], ["-"]])
def test_what_is_for_one_photo_is_refused(option, photos, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["-s", "poppies", "cat", *option])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "nst-keras: photos that --style paints can have no --gif and no --regions, and cannot come from stdin; --help "
        "shows all options.\n"
    )


def test_a_photo_that_is_named_twice_is_painted_once(photos):
    assert len(results_of(["photos", "photos/b.jpg", "photos/../photos/b.jpg"], ["poppies"], Path("out"))) == 3


def test_a_folder_gives_its_pictures_by_name(photos):
    """Without what is hidden, no picture, a folder, or a painting; and only those of its own."""
    for name in ("notes.txt", ".hidden.png", "a.png.checkpoint.npz"):
        (photos / name).write_bytes(b"")
    (photos / "more.png").mkdir()
    save_noise(photos / "more.png" / "z.png")
    save_noise(photos / "painting.png")
    results = results_of(["cat", "photos"], ["photos/painting.png", "poppies", "-"], Path("out"))
    assert [photo.name for photo in results] == ["cat.jpg", "a.png", "b.jpg", "c.JPG"]
    assert [result.name for result in results.values()] == ["cat.png", "a.png", "b.png", "c.png"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere", "-s", "poppies"], "There is no file nowhere"),
        (["photos/a.png", "photos/d.png", "-s", "poppies"], "There is no file photos/d.png"),
        (["empty", "-s", "poppies"], "There are no photos in the folder empty"),
        (["works", "-s", "works/painting.png"], "There are no photos in the folder works"),
        (["photos", "works/a.jpg", "-s", "poppies"], "would both become"),
        (["photos", "works/A.jpg", "-s", "poppies"], "would both become"),
        (["photos", "", "-s", "poppies"], "The name of a picture is empty"),
        (["photos", "-s", "poppies", "-o", ""], "name one after -o, not ''"),
        (["photos", "-s", "poppies", "-o", "-"], "name one after -o, not '-'"),
        (["photos", "-s", "poppies", "-o", "photos"], "photos is the folder of the photos; choose another"),
        (["photos", "-s", "poppies", "-o", "works/../photos", "--overwrite"], "is the folder of the photos"),
        (["photos/a.png", "-s", "poppies", "-o", "photos", "--overwrite"], "a.png is the content picture"),
        (["photos/a.png", "-s", "poppies", "-o", "photos", "--resume"], "a.png is the content picture"),
        (["works/painting.jpg", "-s", "works/painting.png", "-o", "works", "--resume"], "is the style picture"),
        (["photos", "-s", "poppies", "-o", "notes"], "notes is a file, and several photos need a folder"),
        (["photos", "-s", "poppies", "-o", "notes/out"], "cannot be written"),
        (["photos", "-s", "poppies", "-o", "n" * 5000], "cannot be written"),
        (["photos", "-s", "poppies", "-o", "out.png"], "out.png is the name of a picture; with --style, name a folder"),
        (["photos", "-s", "works"], "works is a folder; name a picture in it"),
        (["photos", "-s", "nobody.png"], "There is no file nobody.png"),
        (["photos", "-s", "notes"], "notes is not an image that Pillow can read"),
        (["photos", "-s", "poppies", "-s", "poppies"], "The painting poppies is named twice"),
        (["photos", "-s", "poppies", "--shares", "1,2"], "--shares takes one value for each painting: 1, not 2"),
        (["photos", "-s", "thin.png"], "thin.png has 300×2 pixels"),
        (["photos", "-s", "poppies", "--init", "nobody.png"], "There is no file nobody.png"),
        (["photos", "-s", "poppies", "--weights", "none.h5"], "There is no weights file none.h5"),
        (["photos", "poppies"], "photos is a folder; to paint all photos in it, name the painting with --style"),
    ],
)
def test_bad_input_is_answered_before_anything_is_painted(arguments, says, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training, "transfer_style", None)
    for name in ("empty", "works"):
        (tmp_path / name).mkdir()
    (tmp_path / "notes").write_text("no picture")
    (tmp_path / "empty" / "notes.txt").write_text("no picture")
    save_noise(tmp_path / "works" / "painting.png")
    save_noise(tmp_path / "thin.png", 300, 2)
    for name in arguments[:2]:
        if name.startswith("works/"):
            save_noise(tmp_path / name)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.startswith("nst-keras: ")
    assert error.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert names_in(tmp_path) == ["empty", "notes", "photos", "thin.png", "works"]
