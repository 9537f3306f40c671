import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageSequence

from nst_keras import FeatureExtractor, images, keep_colours, load_image, match_colours, noise_image
from nst_keras.__main__ import SIGNALS, main, say
from nst_keras._tensorflow import keras, tf
from nst_keras.pictures import BUNDLED
from nst_keras.recipe import Recipe

# The first layer alone takes a tenth of the time.
SMALL = ["--size", "64", "--steps", "3", "--content-layers", "block1_conv1", "--style-layers", "block1_conv1"]


@contextmanager
def interrupted_at(last, monkeypatch):
    """Ctrl-C comes in this step of the runs that begin in here."""
    from nst_keras import training

    transfer_style = training.transfer_style

    def ctrl_c(step, losses, image):
        if step == last:
            raise KeyboardInterrupt

    def interrupted(*arguments, callbacks, **options):
        return transfer_style(*arguments, callbacks=[*callbacks, ctrl_c], **options)

    with monkeypatch.context() as patch:
        patch.setattr(training, "transfer_style", interrupted)
        yield


def run_python(*arguments, **options):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, encoding="utf-8", timeout=120, **options
    )


def test_stylises_bundled_pictures_with_film(tmp_path, capsys):
    output, film = tmp_path / "out.png", tmp_path / "film.gif"
    assert main(["cat", "poppies", "-o", str(output), "--gif", str(film), *SMALL]) == 0
    with Image.open(output) as picture, Image.open(film) as frames:
        assert picture.size == frames.size == (64, 43)
        assert frames.n_frames == 3
    assert f"Saved {output}" in capsys.readouterr().out


def test_options_reach_transfer_style(tmp_path, monkeypatch):
    seen = {}

    def transfer_style(content, style, **options):
        seen.update(options)
        raise ValueError("enough seen")

    monkeypatch.setattr("nst_keras.training.transfer_style", transfer_style)
    arguments = [
        *("--content-weight", "2", "--style-weight", "0.5", "--total-variation-weight", "3"),
        *("--content-layers", "block3_conv1", "--style-layers", "block1_conv1=1,block2_conv1=0.5"),
        *("--init", "cat", "--optimizer", "adam", "--no-coarse-to-fine", "--seed", "7"),
        *("--pooling", "average", "--size", "99", "--steps", "11"),
    ]
    assert main(["cat", "poppies", "-o", str(tmp_path / "out.png"), *arguments]) == 2
    assert seen.pop("vgg16").get_layer("block1_pool").__class__.__name__ == "AveragePooling2D"
    assert len(seen.pop("callbacks")) == 3  # the checkpoint, between the two that answer signals
    recipe = seen.pop("recipe")
    assert recipe.init.size == (451, 300)
    assert replace(recipe, init="noise") == Recipe(
        content_weight=2,
        style_weight=0.5,
        total_variation_weight=3,
        content_layers="block3_conv1",
        style_layers={"block1_conv1": 1, "block2_conv1": 0.5},
        optimizer="adam",
        coarse_to_fine=False,
        seed=7,
        size=99,
        steps=11,
    )
    assert seen == {"initial_step": 0, "verbose": 1, "workers": None}


def test_options_of_the_styles_reach_transfer_style(tmp_path, monkeypatch):
    seen = {}

    def transfer_style(content, styles, **options):
        seen.update(styles=styles, recipe=options["recipe"])
        raise ValueError("enough seen")

    monkeypatch.setattr("nst_keras.training.transfer_style", transfer_style)
    arguments = [
        "cat",
        "poppies",
        "great_wave",
        "-o",
        str(tmp_path / "out.png"),
        "--shares",
        "2,1",
        "--stroke-scale",
        "1.5",
    ]
    mask, style_mask = tmp_path / "mask.png", tmp_path / "style_mask.png"
    Image.new("L", (45, 30), "white").save(mask)
    Image.new("L", (649, 443), "white").save(style_mask)
    assert main([*arguments, "--regions", f"-,{mask}", "--style-regions", f"{style_mask},-", "--size", "original"]) == 2
    first, second = seen["styles"]
    assert (first.share, first.scale, first.image.size, first.region) == (2, 1.5, (649, 443), None)
    assert (second.share, second.scale, second.image.size, second.style_region) == (1, 1.5, (659, 443), None)
    assert (second.region.size, first.style_region.size) == ((45, 30), (649, 443))
    assert seen["recipe"].size == 451

    assert main([*arguments, "--match-colours"]) == 2
    matched = match_colours("poppies", "cat")
    np.testing.assert_array_equal(seen["styles"][0].image, matched)


def test_the_result_is_given_the_colours_of_the_photo(tmp_path, monkeypatch):
    """And so is every picture of the film."""
    made = noise_image(43, 64)

    def transfer_style(content, styles, callbacks, **options):
        for callback in callbacks:
            callback(1, {}, made)
        return made, SimpleNamespace(params={"stopped": None}, epoch=[1])

    monkeypatch.setattr("nst_keras.training.transfer_style", transfer_style)
    output, film = tmp_path / "out.png", tmp_path / "film.gif"
    assert main(["cat", "poppies", "-o", str(output), "--gif", str(film), "--keep-colours", *SMALL]) == 0
    expected = keep_colours(made, "cat")
    np.testing.assert_allclose(load_image(output), expected, atol=1 / 255)
    with Image.open(film) as frames:  # of 256 colours
        shown = np.asarray(frames.convert("RGB")) / 255
    assert np.abs(shown - expected).mean() < 0.5 * np.abs(shown - made).mean()


def test_a_run_with_regions_goes_on_only_with_the_same_ones(tmp_path, monkeypatch, capsys):
    output, masks = tmp_path / "out.png", []
    for name in ("poppies", "great_wave"):
        masks.append(str(tmp_path / f"{name}_mask.png"))
        with Image.open(BUNDLED[name]) as painting:
            Image.new("L", painting.size, 255).save(masks[-1])
    command = ["coffee", "poppies", "great_wave", "-o", str(output), *SMALL]
    regions = ["--shares", "2,1", "--regions", "coffee_cup,coffee_table", "--keep-colours"]
    with interrupted_at(1, monkeypatch):
        assert main([*command, *regions]) == 130
    for changed, says in (
        ([*regions[:3], "coffee_table,coffee_cup"], "another region picture"),
        (regions[:2], "another region picture"),
        ([*regions, "--style-regions", ",".join(masks)], "another style region picture"),
        ([*regions, "--stroke-scale", "2"], r"stroke_scale was \[1.0, 1.0\], now \[2.0, 2.0\]"),
        (regions[2:], r"shares was \[2.0, 1.0\], now \[1.0, 1.0\]"),
        ([*regions[:4], "--match-colours"], "match_colours was False, now True"),
    ):
        assert main([*command, *changed, "--resume"]) == 2
        assert re.search(rf"other arguments \({says}\)", capsys.readouterr().err)
    assert main([*command, *regions, "--resume"]) == 0
    assert Image.open(output).size == (64, 43)


def test_help_shows_every_knob_with_its_default(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for knob in fields(Recipe):
        assert f"--{knob.name.replace('_', '-')} " in shown or f"--{knob.name.replace('_', '-')}, " in shown
    for words in ("longer side in pixels (400)", "how much the style counts (0.15)", "(block1_conv1 to block5_conv1)"):
        assert words in shown


def test_an_existing_file_is_only_replaced_when_told_to(tmp_path, capsys):
    output = tmp_path / "out.png"
    output.write_bytes(b"precious")
    assert main(["cat", "poppies", "-o", str(output), *SMALL]) == 2
    assert output.read_bytes() == b"precious"
    assert f"{output} exists; choose another name, or add --overwrite" in capsys.readouterr().err
    assert main(["cat", "poppies", "-o", str(output), "--overwrite", *SMALL]) == 0
    assert Image.open(output).size == (64, 43)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nobody.jpg", "poppies"], "no file nobody.jpg"),
        (["cat", "poppies", "-o", "nowhere/out.png"], "no folder nowhere"),
        (["cat", "poppies", "-o", "out.xyz"], "its ending '.xyz' names no image format"),
        (["cat", "poppies", "--gif", "film.mp4"], "an animation is a .gif file"),
        (["cat", "poppies", "--gif", "film.png"], "an animation is a .gif file"),
        (["cat", "poppies", "--content-weight", "0", "--style-weight", "0"], "both 0"),
        (["cat", "poppies", "--style-layers", "block1_conv1=0", "--content-weight", "0"], "leave nothing"),
        (["cat", "poppies", "--size", "20"], "cat has 451×300 pixels, which size 20 makes 20×13"),
        (["cat", "poppies", "-o", ""], "names no image format"),
        (["cat", "poppies", "-o", "."], "names no image format"),
        (["cat", "poppies", "-o", "/"], "names no image format"),
        (["cat", "poppies", "-o", "out.h5"], "names no image format"),  # Pillow knows it, and cannot write it
        (["cat", "poppies", "-o", "out.xbm"], "names no image format"),  # holds no colours
        (["cat", "poppies", "-o", "out.ico"], "names no image format"),  # would be made smaller
        (["cat", "poppies", "-o", "ж" * 120 + ".png"], "its name is too long"),
        (["cat", "poppies", "-o", "film.gif", "--gif", "./film.gif"], "both the picture and the film"),
        (["cat", "poppies", "-o", str(BUNDLED["cat"]), "--overwrite"], "is the content picture"),
        (["cat", "poppies", "-o", str(BUNDLED["poppies"]), "--resume"], "is the style picture"),
        (["cat", "poppies", "--weights", "none.h5"], "no weights file none.h5"),
        (
            ["cat", "poppies", "great_wave", "poppies"],
            "The painting poppies is named twice; name it once, with a larger",
        ),
        (["cat", "poppies", "great_wave", "--shares", "1,2,3"], "--shares takes one value for each painting: 2, not 3"),
        (["cat", "poppies", "--stroke-scale", "1,2"], "--stroke-scale takes one value for each painting: 1, not 2"),
        (["cat", "poppies", "great_wave", "--regions", "-"], "--regions takes one value for each painting: 2, not 1"),
        (["cat", "poppies", "--style-regions", "a, b"], "no file a, nor a bundled picture"),
        (["cat", "poppies", "great_wave", "--regions", "-, b"], "no file b, nor a bundled picture"),
        (["cat", "poppies", "--regions", "coffee"], "coffee has"),
        (["cat", "poppies", "--stroke-scale", "0.1", "--size", "200"], "poppies at scale 0.1 has 20 pixels on"),
        (["cat", "poppies", "great_wave", "--regions", "-,none.png"], "no file none.png"),
        (["cat", "poppies", "poppies", "--regions", "-,none.png"], "no file none.png"),  # not: is named twice
        (["astronaut", "poppies", "--regions", "coffee_cup"], "another aspect than the 512×512 of the picture"),
        (["cat", "poppies", "--style-regions", "astronaut"], "another aspect than the 649×443 of the picture"),
        (["cat", "poppies", "-o", str(BUNDLED["coffee_cup"]), "--overwrite", "--regions", "coffee_cup"], "is the mask"),
        (["cat", "poppies", "--weights", "n" * 5000], "no weights file nnn"),
        (["cat", "poppies", "--gif", ""], "an animation is a .gif file"),
        (["cat", ""], "The name of a picture is empty"),
        (["cat", "n" * 5000], "n…, nor a bundled picture"),
        (["cat", "poppies", "-o", "n" * 5000 + "/out.png"], "out.png cannot be written: there is no folder nnn"),
    ],
)
def test_bad_input_is_answered_with_one_line(arguments, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.startswith("nst-keras: ")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (["--size", "0"], "--size: must be a whole number from 1 to 65535 or original, not '0'"),
        (["--size", "9" * 5000], "not '9999999999999999999999999999999999999999…'"),
        (["--size", "64.5"], "not '64.5'"),
        (["--steps", "-1"], "--steps: must be a whole number from 1 to 1000000000, not '-1'"),
        (["--seed", "x"], "--seed: must be a whole number from 0 to"),
        (["--style-weight", "nan"], "--style-weight: must be 0 or a number from 1e-25 to 1e+30, not 'nan'"),
        (["--style-weight", "much"], "--style-weight: must be 0 or a number from 1e-25 to 1e+30, not 'much'"),
        (["--content-weight", "inf"], "must be 0 or a number"),
        (["--total-variation-weight", "-1"], "must be 0 or a number"),
        (["--style-layers", "block1_conv1=1,block2_conv1"], "give every layer a weight"),
        (["--style-layers", "block1_conv1=b=c"], "give every layer a weight"),
        (["--style-layers", "conv9"], "no layer 'conv9'"),
        (["--style-layers", "=1"], "no layer ''"),
        (["--style-layers", ""], "Name at least one layer of VGG16; its layers are block1_conv1"),
        (["--content-layers", "block1_conv1,"], "no layer ''"),
        (["--content-layers", "block1_conv1=1,block1_conv1=2"], "layer block1_conv1 is named twice"),
        (["--optimizer", "newton"], "invalid choice: 'newton'"),
        (["--shares", "1,0"], "--shares: must be a number from 0.001 to 1000, not '0'"),
        (["--stroke-scale", "11"], "--stroke-scale: must be a number from 0.1 to 10, not '11'"),
        (["--keep-colours", "--match-colours"], "--match-colours: not allowed with argument --keep-colours"),
        (["--size", "origin"], "--size: must be a whole number from 1 to 65535 or original, not 'origin'; --help"),
        (["--nonsense"], "unrecognized arguments: --nonsense; --help"),
        (["--keep-colors"], "unrecognized arguments: --keep-colors. Did you mean --keep-colours? --help"),
        (["--stlye-weight=2"], "Did you mean --style-weight?"),
        (["--steps", "3", "=x"], "unrecognized arguments: =x; --help"),
        (["--steps", "3", " "], "unrecognized arguments:"),
    ],
)
def test_an_option_that_makes_no_sense_is_answered_with_one_line(option, says, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["cat", "poppies", *option])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.startswith("nst-keras: ")
    assert error.count("\n") == 1


def test_ctrl_c_saves_the_picture_so_far(tmp_path, monkeypatch, capsys):
    output = tmp_path / "out.png"
    with interrupted_at(2, monkeypatch):
        assert main(["cat", "poppies", "-o", str(output), *SMALL]) == 130
    assert Image.open(output).size == (64, 43)
    assert "Interrupted after step 2. The same command with --resume goes on." in capsys.readouterr().err

    assert main(["cat", "poppies", "-o", str(output), *SMALL, "--seed", "1", "--resume"]) == 2
    assert "a run with other arguments (seed was 0, now 1)" in capsys.readouterr().err
    assert main(["cat", "poppies", "-o", str(output), *SMALL]) == 2
    assert "or add --overwrite, or --resume to go on with the run" in capsys.readouterr().err
    assert main(["cat", "poppies", "-o", str(output), *SMALL, "--resume"]) == 0
    assert "step 3: total" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [output]
    assert main(["cat", "poppies", "-o", str(output), *SMALL, "--resume"]) == 2
    assert "There is no" in capsys.readouterr().err


def test_ctrl_c_at_the_last_step_leaves_nothing_to_go_on_with(tmp_path, monkeypatch, capsys):
    with interrupted_at(3, monkeypatch):
        assert main(["cat", "poppies", "-o", str(tmp_path / "out.png"), *SMALL]) == 130
    assert "goes on" not in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


def test_ctrl_c_before_the_first_step_saves_nothing(tmp_path, monkeypatch, capsys):
    def ctrl_c(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("nst_keras.training.targets_of", ctrl_c)
    assert main(["cat", "poppies", "-o", str(tmp_path / "out.png"), *SMALL]) == 130
    assert "nothing was saved" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_cannot_get_better_is_saved_as_it_is(tmp_path):
    output, film = tmp_path / "out.png", tmp_path / "film.gif"
    options = ["--init", "content", "--style-weight", "0", "--no-coarse-to-fine", "--gif", str(film)]
    assert main(["cat", "poppies", "-o", str(output), *options, *SMALL]) == 0
    np.testing.assert_allclose(load_image(output), load_image("cat", size=64), atol=0.5 / 255 + 1e-6)
    with Image.open(film) as frames:
        assert frames.n_frames == 1


def test_a_long_run_makes_a_film_of_even_steps_that_ends_with_the_picture(tmp_path, monkeypatch):
    def transfer_style(content, style, callbacks, **options):
        for step in range(1, 14):
            image = np.full((1, 20, 30, 3), step / 16)
            for callback in callbacks:
                callback(step, {}, tf.constant(image))
        history = keras.callbacks.History()
        history.epoch, history.params = list(range(1, 14)), {"stopped": None}
        return image, history

    monkeypatch.setattr("nst_keras.training.transfer_style", transfer_style)
    monkeypatch.setattr("nst_keras.jobs.GIF_FRAMES", 2)
    film = tmp_path / "film.gif"
    assert main(["cat", "poppies", "-o", str(tmp_path / "out.png"), "--gif", str(film)]) == 0
    with Image.open(film) as frames:
        shown = [np.mean(frame.convert("RGB")) for frame in ImageSequence.Iterator(frames)]
    np.testing.assert_allclose(shown, np.array([4, 8, 12, 13]) / 16 * 255, atol=3)


def test_a_run_that_dies_leaves_a_checkpoint(tmp_path, monkeypatch, capsys):
    from nst_keras import training

    class PowerCut(BaseException):
        pass

    def dying(*arguments, callbacks, **options):
        def die(step, losses, image):
            if step == 2:
                raise PowerCut

        return transfer_style(*arguments, callbacks=[*callbacks, die], **options)

    transfer_style = training.transfer_style
    monkeypatch.setattr("nst_keras.checkpoints.SECONDS_BETWEEN_CHECKPOINTS", -1)
    command = ["cat", "poppies", "-o", str(tmp_path / "out.png"), *SMALL]
    monkeypatch.setattr(training, "transfer_style", dying)
    with pytest.raises(PowerCut):
        main(command)
    assert [path.name for path in tmp_path.iterdir()] == ["out.png.checkpoint.npz"]
    monkeypatch.setattr(training, "transfer_style", transfer_style)
    assert main([*command, "--resume"]) == 0
    shown = capsys.readouterr().err
    assert "step 3: total" in shown.split("step 2: total")[-1]


def test_a_checkpoint_that_cannot_be_saved_does_not_stop_the_run(tmp_path, monkeypatch):
    tried = []

    def full_disk(file, **arrays):
        tried.append(file)
        raise OSError("No space left on device")

    monkeypatch.setattr("nst_keras.checkpoints.SECONDS_BETWEEN_CHECKPOINTS", -1)
    monkeypatch.setattr("numpy.savez", full_disk)
    assert main(["cat", "poppies", "-o", str(tmp_path / "out.png"), *SMALL]) == 0
    assert len(tried) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a file that is always full")
def test_streams_that_fail_do_not_cost_the_picture(tmp_path, monkeypatch):
    closed, full, letters = (tmp_path / name for name in ("closed.png", "full.png", "картина.png"))
    command = f'"{sys.executable}" -m nst_keras cat poppies --size 64 --steps 2 -o "{closed}" >/dev/full 2>&-'
    assert subprocess.run(command, shell=True, timeout=120).returncode == 0
    with open("/dev/full", "w") as error:
        monkeypatch.setattr("sys.stderr", error)
        assert main(["cat", "poppies", "-o", str(full), *SMALL]) == 0
    ascii_only = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr("sys.stdout", ascii_only)
    monkeypatch.setattr("sys.stderr", ascii_only)
    assert main(["cat", "poppies", "-o", str(letters), *SMALL]) == 0
    shown = ascii_only.buffer.getvalue()
    assert b"64\\xd743 step 3: total" in shown
    assert b"Saved " in shown
    for path in (closed, full, letters):
        assert Image.open(path).size == (64, 43)


def test_a_pipe_whose_reader_has_gone_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run(
        [sys.executable, "-m", "nst_keras", "--help"], stdout=writing, stderr=subprocess.PIPE, check=False, timeout=60
    )
    os.close(writing)
    assert (run.returncode, run.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("closed.png", "closed.png cannot be read: its permissions forbid it"),
        ("nan.tif", "nan.tif cannot be used as a picture. The values of a float image lie in [0, 1]"),
    ],
)
def test_a_picture_that_cannot_be_used_is_named(name, says, tmp_path, monkeypatch, capsys):
    path = tmp_path / name
    Image.fromarray(np.full((30, 40), np.nan, np.float32)).save(tmp_path / "nan.tif")
    if name == "closed.png":
        path.write_bytes(b"closed to all but root")

        def not_permitted(file):
            raise PermissionError(13, "Permission denied", str(file))

        monkeypatch.setattr(Image, "open", not_permitted)
        monkeypatch.setattr("nst_keras.jobs.check_output_path", lambda *path, **options: "PNG")
    assert main([str(path), "poppies", "-o", str(tmp_path / "out.png")]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_checkpoint_of_another_version_is_refused(tmp_path, capsys):
    np.savez(
        tmp_path / "out.png.checkpoint.npz",
        arguments=json.dumps({"brush": "wide"}),
        step=2,
        image=np.zeros((1, 43, 64, 3)),
    )
    assert main(["cat", "poppies", "-o", str(tmp_path / "out.png"), *SMALL, "--resume"]) == 2
    assert "brush was wide, now not there" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_refused(tmp_path, capsys):
    output = tmp_path / "out.png"
    (tmp_path / "out.png.checkpoint.npz").write_bytes(b"PK nonsense")
    assert main(["cat", "poppies", "-o", str(output), *SMALL, "--resume"]) == 2
    assert "out.png.checkpoint.npz is damaged" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
def test_ctrl_c_in_a_terminal_leaves_a_valid_picture_and_a_checkpoint(tmp_path, start, press_ctrl_c):
    output = tmp_path / "out.png"
    command = [sys.executable, "-m", "nst_keras", "cat", "poppies", "-o", str(output), *SMALL, "--steps", "100000"]
    run = start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _, error = press_ctrl_c(run)
    assert run.returncode == 130
    assert "--resume goes on" in error
    assert Image.open(output).size == (64, 43)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.png", "out.png.checkpoint.npz"]


def test_a_picture_that_cannot_be_saved_in_its_place_is_saved_elsewhere(tmp_path, monkeypatch, capsys):
    def full_disk(path, image):
        if path.parent == tmp_path:
            raise OSError("No space left on device")
        save_image(path, image)

    save_image = images.save_image
    monkeypatch.setattr(images, "save_image", full_disk)
    assert main(["cat", "poppies", "-o", str(tmp_path / "out.png"), *SMALL]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "No space left on device" in error
    with Image.open(error.rsplit(" in ", 1)[1].removesuffix(".")) as picture:
        assert picture.size == (64, 43)


def test_help_and_errors_do_not_wait_for_tensorflow(tmp_path):
    code = """if True:
        import sys
        from nst_keras.__main__ import main
        try:
            print(main(sys.argv[1:]))
        finally:
            assert "tensorflow" not in sys.modules
    """
    assert "usage: nst-keras" in run_python("-c", code, "--help").stdout
    assert run_python("-c", code, "cat", "nobody.jpg").stdout == "2\n"
    assert run_python("-c", code, "cat", "poppies", "-o", "out.xyz").stdout == "2\n"
    assert run_python("-c", code, "cat", "coffee", "-s", "poppies", "-o", "out.png").stdout == "2\n"
    assert "--steps: must be" in run_python("-c", code, "cat", "poppies", "--steps", "0").stderr
    assert "no layer" in run_python("-c", code, "cat", "poppies", "--style-layers", "conv9").stderr
    assert run_python("-c", code, "cat", "poppies", "--size", "20").stdout == "2\n"


def test_completion_offers_every_name_and_does_not_wait_for_tensorflow():
    code = "import nst_keras, sys; print(*dir(nst_keras)); assert 'tensorflow' not in sys.modules"
    run = run_python("-c", code)
    assert run.returncode == 0
    assert {"load_image", "transfer_style", "gram_matrix", "plotting", "exercises"} <= set(run.stdout.split())


def test_a_tensorflow_that_cannot_be_imported_is_heard(tmp_path):
    broken = "import os; os.write(2, b'This processor has no AVX.'); raise ImportError('libtensorflow is missing')"
    (tmp_path / "tensorflow.py").write_text(broken)
    run = run_python("-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import nst_keras._tensorflow")
    assert "This processor has no AVX." in run.stderr
    assert run.stderr.splitlines()[-1] == "ImportError: libtensorflow is missing"


def test_tensorflow_stays_quiet(tmp_path):
    imported = run_python("-c", "import nst_keras; nst_keras.gram_matrix; import tensorflow; tensorflow.ones(2) + 1")
    assert (imported.stdout, imported.stderr) == ("", "")
    run = run_python("-m", "nst_keras", "cat", "poppies", "-o", str(tmp_path / "out.png"), *SMALL)
    assert run.returncode == 0
    assert run.stdout == f"Saved {tmp_path / 'out.png'}\n"
    assert [line for line in run.stderr.splitlines() if line and "left" not in line] == []


def test_another_backend_of_keras_is_refused_with_the_way_out():
    run = run_python("-c", "import nst_keras; nst_keras.gram_matrix", env=os.environ | {"KERAS_BACKEND": "numpy"})
    assert "Set the environment variable KERAS_BACKEND=tensorflow" in run.stderr.splitlines()[-1]


def test_the_layers_known_without_tensorflow_are_those_of_vgg16(vgg16):
    from nst_keras.recipe import VGG16_LAYERS, smallest_side

    assert [layer.name for layer in vgg16.layers[1:]] == list(VGG16_LAYERS)
    for layer in VGG16_LAYERS:
        assert smallest_side(["block1_conv1", layer]) == FeatureExtractor(layer, vgg16).smallest_side


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
@pytest.mark.parametrize("stop", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_while_the_picture_is_saved_does_not_cost_it(tmp_path, monkeypatch, stop):
    def interrupted(path, image):
        os.kill(os.getpid(), getattr(signal, stop))
        time.sleep(0.05)  # Python answers a signal between two of its instructions
        save_image(path, image)
        os.kill(os.getpid(), getattr(signal, stop))
        time.sleep(0.05)

    save_image = images.save_image
    monkeypatch.setattr(images, "save_image", interrupted)
    output = tmp_path / "out.png"
    assert main(["cat", "poppies", "-o", str(output), *SMALL]) == 0
    assert Image.open(output).size == (64, 43)
    os.kill(os.getpid(), getattr(signal, stop))  # the program ends anyway, and nothing is to disturb its end


def test_signals_mean_what_they_meant_after_a_run_that_none_has_stopped(tmp_path):
    handlers = [signal.getsignal(number) for number in SIGNALS]
    assert main(["cat", "poppies", "-o", str(tmp_path / "out.png"), *SMALL]) == 0
    assert [signal.getsignal(number) for number in SIGNALS] == handlers


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
def test_a_second_ctrl_c_does_not_cut_the_answer_to_the_first(tmp_path, monkeypatch, capsys):
    """One comes while the program starts, one while it tidies up, one while it answers, one while it ends."""

    def ctrl_c():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)  # Python answers a signal between two of its instructions

    def starting(*arguments):
        try:
            ctrl_c()
        finally:
            ctrl_c()

    def saying(text):
        ctrl_c()
        say(text)

    monkeypatch.setattr("nst_keras.training.targets_of", starting)
    monkeypatch.setattr("nst_keras.__main__.say", saying)
    assert main(["cat", "poppies", "-o", str(tmp_path / "out.png"), *SMALL]) == 130
    ctrl_c()
    assert capsys.readouterr().err.splitlines()[-1] == "Stopped before the first step; nothing was saved."


def test_a_picture_comes_from_stdin(tmp_path, monkeypatch):
    named, piped = tmp_path / "named.png", tmp_path / "piped.png"
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(BUNDLED["cat"].read_bytes())))
    assert main(["-", "poppies", "-o", str(piped), *SMALL]) == 0
    assert main(["cat", "poppies", "-o", str(named), *SMALL]) == 0
    np.testing.assert_array_equal(load_image(named), load_image(piped))


@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="Windows has no files for pipes")
def test_a_picture_comes_from_a_pipe_as_the_shell_gives_it(tmp_path):
    """<(cat cat.jpg) is /dev/fd/63: it can be read once, and has no end to seek to."""
    reading, writing = os.pipe()
    writer = threading.Thread(target=lambda: os.fdopen(writing, "wb").write(BUNDLED["cat"].read_bytes()), daemon=True)
    writer.start()
    assert main([f"/dev/fd/{reading}", "poppies", "-o", str(tmp_path / "out.png"), *SMALL]) == 0
    writer.join(timeout=10)
    os.close(reading)


def test_only_one_picture_can_come_from_stdin(tmp_path, capsys):
    assert main(["-", "-", "-o", str(tmp_path / "out.png")]) == 2
    assert capsys.readouterr().err == (
        "nst-keras: Only one picture can come from stdin; name a file for every other.\n"
    )


def test_an_empty_stdin_is_said():
    run = run_python("-m", "nst_keras", "-", "poppies", "-o", "never.png", input="")
    assert (run.returncode, run.stderr) == (2, "nst-keras: <stdin> is empty; it holds no picture.\n")


def test_a_closed_stdin_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", None)
    assert main(["-", "poppies", "-o", str(tmp_path / "out.png")]) == 2
    assert "stdin is closed; name a file instead" in capsys.readouterr().err


def test_a_run_does_not_go_on_with_another_picture_of_the_same_name(tmp_path, monkeypatch, capsys):
    photo = tmp_path / "photo.png"
    Image.new("RGB", (60, 40), "red").save(photo)
    command = [str(photo), "poppies", "-o", str(tmp_path / "out.png"), *SMALL]
    with interrupted_at(1, monkeypatch):
        assert main(command) == 130
    Image.new("RGB", (60, 40), "blue").save(photo)
    assert main([*command, "--resume"]) == 2
    assert re.search(r"other arguments \(another content picture\)", capsys.readouterr().err)
    Image.new("RGB", (60, 40), "red").save(photo)
    same_photo = f"{tmp_path}/./photo.png"
    assert main([same_photo, *command[1:], "--resume"]) == 0


def test_every_picture_is_decoded_once(tmp_path, monkeypatch):
    opened, image_open = [], Image.open
    monkeypatch.setattr(Image, "open", lambda file, *rest: opened.append(file) or image_open(file, *rest))
    assert main(["cat", "poppies", "-o", str(tmp_path / "out.png"), "--init", "coffee", *SMALL]) == 0
    assert sorted(path.stem for path in opened if hasattr(path, "stem")) == ["cat", "coffee", "poppies"]


def test_a_divergence_is_said_on_a_line_of_its_own(tmp_path, capsys):
    assert main(["cat", "poppies", "-o", str(tmp_path / "out.png"), "--style-weight", "1e29", "--size", "64"]) == 2
    *bar, message = capsys.readouterr().err.splitlines()
    assert message.startswith("nst-keras: The total loss became inf in the first step.")
    assert all("left" in line for line in bar if line)


def test_a_home_folder_is_found_in_options(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert main(["cat", "poppies", "--output=~/out.png", "--gif=~/film.gif", *SMALL]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.gif", "out.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the address space cannot be limited")
def test_a_limit_of_the_address_space_is_answered_in_one_sentence(tmp_path):
    arguments = f'cat poppies -o "{tmp_path / "out.png"}" --size 6000'
    script = f'ulimit -v 5000000; exec "{sys.executable}" -m nst_keras {arguments}'
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120)
    assert run.returncode == 2
    assert re.fullmatch(
        r"nst-keras: 6000×3991 pixels need about 65\.1 GB of memory, and \d\.\d GB are free: too little even for the "
        r"smallest tiles\. size=\d+ would fit\.\n",
        run.stderr,
    )
