"""The studio: its logic without a browser, then as its users meet it, served by Voilà in a real one."""

import base64
import io
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import tomllib
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from PIL import Image
from playwright.sync_api import expect

import nst_keras
from nst_keras import Recipe, Style, files, load_image
from nst_keras.__main__ import main
from nst_keras.options import build_parser
from nst_keras.settings import Settings
from nst_keras.studio import Studio, studio
from nst_keras.styles import styles_from

ROOT = Path(__file__).parents[1]
SMALL = {"size": 32, "steps": 2}


def picture_file(height=40, width=60, kind="PNG"):
    """The bytes of a picture file; noise, which no format makes smaller."""
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(file, kind, **({"compress_level": 1} if kind == "PNG" else {}))
    return file.getvalue()


def black_file(side):
    """The bytes of a small file that holds a large picture."""
    file = io.BytesIO()
    Image.new("1", (side, side)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def page():
    """A studio without a page, set to little work."""
    page = Studio()
    page.size.value, page.steps.value = SMALL.values()
    yield page
    page.asked_to_stop.set()
    if page.thread:
        page.thread.join()


def paint(page, button="paint"):
    getattr(page, button).click()
    page.thread.join()


def upload(page, name, content, chooser=0):
    """What the browser does when a file is chosen: by the photo (0), the painting (1), its region (2)."""
    uploads = [widget for widget in every_widget(page.page) if type(widget).__name__ == "FileUpload"]
    file = {"name": name, "type": "", "size": len(content), "content": memoryview(content), "last_modified": 0}
    uploads[chooser].set_state({"value": [file | {"last_modified": 1000}]})


def every_widget(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from every_widget(child)


# Settings as code.

SETTINGS = {
    "nothing turned": Settings("cat", [Style("poppies")], Recipe()),
    "a recipe": Settings("cat", [Style("poppies")], Recipe(size=96, style_weight=0.5, steps=20)),
    "shares": Settings("cat", [Style("poppies", 2.0), Style("great_wave", 1.0, 0.5)], Recipe(size=96)),
    "regions": Settings(
        "summer_palace",
        [Style("great_wave", region="summer_palace_sky"), Style("poppies", region="summer_palace_ground")],
        Recipe(),
    ),
    "a region and everywhere": Settings(
        "summer_palace", [Style("poppies"), Style("great_wave", region="summer_palace_sky")], Recipe()
    ),
    "kept colours": Settings("cat", [Style("poppies")], Recipe(), "keep_colours"),
    "matched colours": Settings("cat", [Style("poppies"), Style("great_wave", 3.0)], Recipe(), "match_colours"),
    "odd names": Settings('my "best" photo, $HOME.jpg', [Style("it's a Künstler's \\ art.png")], Recipe()),
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_the_call_is_made_with_these_settings(settings, monkeypatch):
    called, saved = [], []
    monkeypatch.setattr(nst_keras, "transfer_style", lambda *args, **knobs: called.append((args, knobs)) or (0, 0))
    monkeypatch.setattr(nst_keras, "save_image", lambda *args: saved.append(args))
    monkeypatch.setattr(nst_keras, "keep_colours", lambda image, photo: ("kept", photo))
    monkeypatch.setattr(nst_keras, "match_colours", lambda style, photo: f"{style} in the colours of {photo}")
    exec(settings.python(), {})
    [((photo, styles), knobs)] = called
    assert photo == settings.photo
    assert Recipe(**knobs) == settings.recipe
    names = [style.image for style in settings.styles]
    if settings.colours == "match_colours":
        names = [f"{name} in the colours of {photo}" for name in names]
    found = [(style.image, style.share, style.scale, style.region) for style in styles_from(styles)]
    assert found == [(n, s.share, s.scale, s.region) for n, s in zip(names, settings.styles, strict=True)]
    assert saved == [("stylised.png", ("kept", photo) if settings.colours == "keep_colours" else 0)]


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_the_command_line_has_these_settings(settings):
    program, *arguments = shlex.split(settings.command())
    options = vars(build_parser().parse_args(arguments))
    assert (program, options["content"]) == ("nst-keras", settings.photo)
    assert Recipe(**{k.name: options[k.name] for k in fields(Recipe) if k.name in options}) == settings.recipe
    assert options["styles"] == [style.image for style in settings.styles]
    assert options["output"] == "stylised.png"
    for knob, plain in (("share", 1), ("scale", 1), ("region", None)):
        assert (options[knob] or [plain] * len(settings.styles)) == [getattr(one, knob) for one in settings.styles]
    assert [name for name in ("keep_colours", "match_colours") if options[name]] == [*filter(None, [settings.colours])]


def by_python(settings):
    exec(settings.python(), {})


def by_command(settings):
    assert main(shlex.split(settings.command())[1:]) == 0


@pytest.mark.parametrize(("colours", "by"), [("keep_colours", by_command), ("match_colours", by_python)])
def test_the_code_paints_the_same_picture(page, colours, by, tmp_path, monkeypatch):
    page.add_painting()
    page.colours.value = colours
    page.paintings[0]["share"].value, page.paintings[1]["region"].value = 2.0, "summer_palace_sky"
    paint(page)
    painted = load_image(files.png(page.image, page.painted)).numpy()
    monkeypatch.chdir(tmp_path)
    by(page.painted)
    assert np.abs(load_image("stylised.png").numpy() - painted).mean() < 1 / 255


# The page.


def test_a_new_page_has_the_defaults_of_the_recipe_and_its_explanations():
    page = Studio()
    assert page.settings().recipe == Recipe()
    assert page.paintings[0]["region"].label == "everywhere"
    knobs = {field.name: field.metadata for field in fields(Recipe)}
    for name, widget in (("size", page.size), ("steps", page.steps), ("style_weight", page.beta)):
        assert widget.tooltip == knobs[name]["help"]


def test_a_run_shows_its_picture_its_losses_and_a_download_and_goes_on(page):
    paint(page)
    assert page.message.value.startswith("Done: 2 steps.")
    assert 'alt="The picture so far" height="21" width="32"' in page.picture.value
    assert 'alt="The losses after each step"' in page.curves.value
    assert page.bar.value == 1
    assert 'download="summer_palace_great_wave.png"' in page.download.value
    assert downloaded(page).text == {"Python": page.painted.python(), "Command": page.painted.command()}
    paint(page, "make_film")
    assert page.message.value == "The film is ready."
    assert 'download="summer_palace_great_wave.gif"' in page.film_link.value
    page.size.value = 65535  # refused, and the picture at hand is still there
    paint(page)
    assert "GB of memory" in page.message.value
    assert "download=" in page.download.value
    page.size.value, page.beta.value = 32, 0.5
    paint(page, "go_on")
    assert len(page.records) == 4
    assert page.painted.recipe.style_weight == 0.5


def downloaded(page):
    [content] = saved_files(page.download.value).values()
    return Image.open(io.BytesIO(content))


def test_stop_ends_the_run_after_its_step_and_go_on_paints_the_rest(page):
    page.steps.value = 10
    page.watch = stopping(page, page.watch, step=5)
    paint(page)
    assert page.message.value.startswith("Stopped after step 5.")
    before = page.image
    assert "the code alone doesn't repeat it" in downloaded(page).text["Note"]
    assert (page.paint.disabled, page.stop.disabled, page.go_on.disabled) == (False, True, False)
    del page.watch
    paint(page, "go_on")
    assert page.message.value.startswith("Done: 15 steps.")  # L-BFGS had to gather way again
    assert "the code alone doesn't repeat it" in downloaded(page).text["Note"]
    assert not np.allclose(before, page.image)
    assert page.records[5]["total_loss"] < page.records[2]["total_loss"]  # not from noise again


def stopping(page, watch, step):
    """`watch` as it is, but Stop is pressed after a step."""

    def stop(number, losses, image):
        if number == step:
            page.stop.click()

    def both(*arguments, **named):
        shown = watch(*arguments, **named)
        return lambda *seen: (stop(*seen), shown(*seen))

    return both


def test_beta_turned_while_it_paints_goes_on_from_the_picture_at_hand(page):
    page.steps.value = 8
    watch, seen = page.watch, []

    def turning(settings, stages, new):
        shown = watch(settings, stages, new)

        def callback(step, losses, image):
            seen.append(
                (settings.recipe.style_weight, losses["total_loss"], losses["content_loss"], losses["style_loss"])
            )
            if len(seen) == 4:
                page.beta.value = 1.0
            shown(step, losses, image)

        return callback

    page.watch = turning
    paint(page)
    assert page.message.value.startswith("Done: 12 steps.")
    betas, totals, contents, styles = np.transpose(seen)
    assert list(betas[:5]) == [0.15] * 4 + [1.0]
    assert set(betas[4:]) == {1.0}
    np.testing.assert_allclose(totals, contents + betas * styles, rtol=1e-5)
    assert contents[4] + 0.15 * styles[4] < 1.2 * totals[3]  # the picture at hand, not noise
    assert page.painted.recipe.style_weight == 1.0


def test_two_studios_paint_at_once_and_do_not_disturb_each_other(page):
    other = Studio()
    other.size.value, other.steps.value = 40, 3
    upload(other, "mine.png", picture_file())
    page.paint.click()
    paint(other)
    page.thread.join()
    assert page.message.value.startswith("Done: 2 steps.")
    assert other.message.value.startswith("Done: 3 steps.")
    assert [len(page.records), len(other.records)] == [2, 3]
    assert "mine.png" not in dict(page.photo.options)


def test_paintings_come_and_go(page):
    page.add_painting()
    assert [style.image for style in page.settings().styles] == ["great_wave", "composition_viii"]
    page.remove_painting(page.paintings[0])
    assert [style.image for style in page.settings().styles] == ["composition_viii"]
    page.remove_painting(page.paintings[0])
    assert page.message.value == "One painting is needed; choose another in its place."
    assert len(page.paintings) == 1


# A region that is painted by hand.


def paint_region(page, y=160, size=40, number=0):
    """A stroke from left to right; its mask as an array (height, width)."""
    painting = page.paintings[number]
    painting["region"].value = painting["brush"].name
    painting["brush"].size.value = size
    painting["brush"].press(100, y)
    painting["brush"].move(380, y)
    painting["brush"].release()
    return region_of(page, number)


def region_of(page, number=0):
    return load_image(page.uploads.source(page.settings().styles[number].region)).numpy()[0, :, :, 0]


def saved_files(markup):
    """The files that links save, {name: content}."""
    links = re.findall(r'download="([^"]+)" href="data:[^"]+;base64,([^"]+)"', markup)
    return {name: base64.b64decode(content) for name, content in links}


def test_a_region_is_painted_by_hand_and_saved_with_the_code(page):
    mask = paint_region(page)
    assert mask.shape == (320, 480)  # of the photo, 427×640
    assert set(np.unique(mask)) == {0, 1}
    assert mask.sum() == pytest.approx(280 * 40 + np.pi * 20**2, rel=0.03)
    assert (mask[160, 90:391].min(), mask[:135].max(), mask[186:].max(), mask[:, :75].max()) == (1, 0, 0, 0)
    assert 'Style("great_wave", region="region_1.png")' in page.settings().python()
    [(name, content)] = saved_files(page.code.value).items()
    assert name == "region_1.png"
    np.testing.assert_array_equal(load_image(content).numpy()[0, :, :, 0], mask)
    page.size.value, page.beta.value = 48, 0.5
    np.testing.assert_array_equal(region_of(page), mask)


def test_moving_over_the_photo_paints_nothing_unless_the_brush_is_down(page):
    mask = paint_region(page)
    page.paintings[0]["brush"].move(240, 300)
    np.testing.assert_array_equal(region_of(page), mask)


def test_a_region_is_painted_anew_on_another_photo_and_cleared(page):
    paint_region(page)
    page.photo.value = "cat"
    assert region_of(page).shape == (319, 480)  # of 300×451
    assert region_of(page).max() == 0
    assert paint_region(page).max() == 1
    every = [widget for widget in every_widget(page.page) if getattr(widget, "description", "") == "Clear"]
    every[0].click()
    paint(page)
    assert page.message.value.startswith("region_1.png is empty")


def test_a_region_goes_with_its_painting_and_others_stay(page):
    page.add_painting()
    paint_region(page, y=80)
    mask = paint_region(page, y=240, number=1)
    page.remove_painting(page.paintings[0])
    assert page.settings().styles[0].region == "region_2.png"
    np.testing.assert_array_equal(region_of(page), mask)
    page.add_painting()
    assert page.paintings[1]["brush"].name == "region_3.png"
    page.paintings[0]["region"].value = None
    assert page.paintings[0]["brush"].box.layout.display == "none"
    assert saved_files(page.code.value) == {}


def test_the_code_paints_the_same_picture_from_the_region_that_was_saved(page, tmp_path, monkeypatch):
    page.steps.value = 4
    mask = paint_region(page, size=160)
    page.watch = stopping(page, page.watch, step=2)
    paint(page)
    assert page.message.value.startswith("Stopped after step 2.")
    del page.watch
    np.testing.assert_array_equal(region_of(page), mask)
    paint(page, "go_on")
    assert page.message.value.startswith("Done: ")
    paint(page)
    painted = load_image(files.png(page.image, page.painted)).numpy()
    paint_region(page, y=20)  # later strokes don't change what is saved with the picture
    files_saved = saved_files(page.download.value)
    assert list(files_saved) == ["summer_palace_great_wave.png", "region_1.png"]
    (tmp_path / "region_1.png").write_bytes(files_saved["region_1.png"])
    monkeypatch.chdir(tmp_path)
    by_command(page.painted)
    assert np.abs(load_image("stylised.png").numpy() - painted).mean() < 1 / 255


def test_an_upload_does_not_take_the_name_of_a_painted_region(page):
    mask = paint_region(page)
    upload(page, "region_1.png", picture_file())
    assert page.settings().photo == "region_1_2.png"
    assert mask.max() == 1


# What is wrong is answered in a sentence.

BAD_FILES = {
    "no picture": ("notes.txt", b"Dear diary", "notes.txt is not an image that Pillow can read"),
    "empty": ("empty.png", b"", "empty.png is empty"),
    "damaged": ("half.png", picture_file()[:4000], "half.png cannot be read as an image"),
    "too many pixels": ("wide.png", black_file(10_000), "wide.png has more than 89 million pixels"),
    "a name that is markup": ("<b>.txt", b"?", "&lt;b&gt;.txt is not an image"),
    "a comma": ("a,b.png", picture_file(), "a,b.png has a comma"),
    "a hyphen": ("-o.png", picture_file(), "-o.png has a comma or a hyphen"),
}


@pytest.mark.parametrize(("name", "content", "answer"), BAD_FILES.values(), ids=BAD_FILES)
@pytest.mark.parametrize("chooser", [0, 1, 2], ids=["photo", "painting", "region"])
def test_a_bad_file_is_answered_and_changes_nothing(page, name, content, answer, chooser):
    before = page.settings().command()
    upload(page, name, content, chooser)
    assert page.message.value.startswith(answer)
    assert page.settings().command() == before
    assert page.uploads.files == {}


def test_a_file_that_is_too_large_is_answered(page, monkeypatch):
    monkeypatch.setattr(files, "MOST_BYTES", 2_000_000)
    upload(page, "large.png", bytes(3_000_000))
    assert page.message.value == "large.png has 3 MB, and 2 MB are the most; make it smaller first."


WHOLE = "must be a whole number from 1 to"
NUMBERS = {
    "not whole": ("size", 3.7, f"size {WHOLE} 65535, or None, not 3.7."),
    "too small": ("steps", 0, f"steps {WHOLE} 1000000000, not 0."),
    "too large": ("steps", 2e9, f"steps {WHOLE} 1000000000, not 2000000000."),
    "no share": ("share", 0, "share must be a number from 0.001 to 1000, not 0.0."),
    "a negative scale": ("scale", -1, "scale must be a number from 0.1 to 10, not -1.0."),
}


@pytest.mark.parametrize(("name", "number", "answer"), NUMBERS.values(), ids=NUMBERS)
def test_a_number_that_makes_no_sense_is_answered_and_stays_as_it_was_typed(page, name, number, answer):
    field = page.paintings[0].get(name) or getattr(page, name)
    field.value = number
    assert (page.message.value, page.code.value, field.value) == (answer, "", number)
    page.paint.click()
    assert (page.message.value, page.thread) == (answer, None)
    field.value = 2
    assert page.message.value == ""
    assert "transfer_style" in page.code.value


def test_too_many_paintings_are_answered(page):
    for _ in range(4):
        page.add_painting()
    assert page.message.value == "4 paintings are the most; remove one first."
    assert len(page.paintings) == 4


def test_a_painting_that_is_chosen_twice_is_answered(page):
    page.add_painting()
    page.paintings[1]["image"].value = "great_wave"
    page.paint.click()
    assert page.thread is None
    assert page.message.value == "The painting great_wave is chosen twice; choose it once, with a larger share."
    assert page.code.value == ""
    for painting, region in zip(page.paintings, ("summer_palace_sky", "summer_palace_ground"), strict=True):
        painting["region"].value = region
    assert [style.region for style in page.settings().styles] == ["summer_palace_sky", "summer_palace_ground"]


def test_a_size_that_is_too_small_is_answered(page):
    page.size.value = 8
    paint(page)
    assert "need at least 16 on every side. Choose a size from 24" in page.message.value
    assert (page.paint.disabled, page.stop.disabled, page.go_on.disabled) == (False, True, True)


def test_a_mask_of_another_shape_is_answered_by_its_name(page):
    upload(page, "square.png", picture_file(50, 50), chooser=2)
    assert page.settings().styles[0].region == "square.png"
    paint(page)
    assert page.message.value.startswith("square.png has 50×50 pixels, another aspect than the 640×427 of the picture")


def test_going_on_needs_the_same_photo(page):
    page.painted, page.regions = page.settings(), ""
    page.photo.value = "cat"
    page.go_on.click()
    assert page.message.value == "The picture at hand is of summer_palace; press Paint to begin a new one."


def test_what_was_said_goes_when_a_setting_changes_but_not_during_a_run(page):
    paint(page)
    assert page.message.value.startswith("Done: 2 steps.")
    page.beta.value = 0.5
    assert page.message.value == ""
    page.say("Step 1 of 2")
    page.thread = SimpleNamespace(is_alive=lambda: True, join=lambda: None)
    page.beta.value = 1.0
    assert page.message.value == "Step 1 of 2"


def test_going_on_says_what_is_new_and_from_when_on(page):
    paint(page)
    page.size.value, page.beta.value = 40, 0.5
    page.add_painting()
    paint_region(page, size=160)
    said = []
    page.message.observe(lambda change: said.append(change["new"]), "value")
    paint(page, "go_on")
    new = ", from step 3 on with another size and other paintings and other regions"
    assert f"Going on{new} …" in said
    assert said[-1].startswith(f"Done: 4 steps{new}. Go on ")
    paint(page, "go_on")
    assert page.message.value.startswith("Done: 6 steps. Go on ")
    paint_region(page, y=140, size=160)
    paint(page, "go_on")
    assert page.message.value.startswith("Done: 8 steps, from step 7 on with other regions. Go on ")


def test_a_fault_of_our_own_does_not_leave_the_page_waiting(page, monkeypatch):
    monkeypatch.setattr(page, "paint_picture", lambda *arguments: 1 / 0)
    paint(page)
    assert page.message.value.startswith("Something went wrong that should not have: ZeroDivisionError")
    assert not page.paint.disabled


@pytest.mark.parametrize(
    ("stopped", "answer"), [("diverged", "Choose a smaller β."), ("out of memory", "a smaller size.")]
)
def test_a_run_that_breaks_off_says_why_and_keeps_its_picture(page, monkeypatch, stopped, answer):
    def breaks_off(*pictures, callbacks, **knobs):
        losses = dict.fromkeys(("total_loss", "content_loss", "style_loss"), 1.0)
        for step in (1, 2):
            callbacks(step, losses, load_image("cat", 32))
        return load_image("cat", 32), SimpleNamespace(params={"stopped": stopped})

    monkeypatch.setattr(nst_keras, "transfer_style", breaks_off)
    paint(page)
    assert page.message.value.startswith("After step 2 the ")
    assert page.message.value.endswith(answer)
    assert "download=" in page.download.value


def test_weights_that_leave_float32_are_answered(page, monkeypatch):
    monkeypatch.setattr(page, "style_weight", lambda: 1e30)
    paint(page)
    assert "in the first step" in page.message.value


def test_an_upload_can_be_chosen_everywhere_and_changes_no_other_choice(page):
    page.photo.value = "cat"
    mask = paint_region(page)
    before = page.settings()
    upload(page, "mine.png", picture_file(), chooser=1)
    page.add_painting()
    lists = [page.photo, *(painting[name] for painting in page.paintings for name in ("image", "region"))]
    assert [dict(each.options)["mine.png"] for each in lists] == ["mine.png"] * 5
    after = page.settings()
    assert (after.photo, after.styles[0].image) == ("cat", "mine.png")
    assert after.styles[0].region == before.styles[0].region
    np.testing.assert_array_equal(region_of(page), mask)


def test_uploads_of_one_name_are_told_apart(page):
    upload(page, "image.jpg", picture_file(kind="JPEG"), 0)
    upload(page, "image.jpg", picture_file(50, 70, "JPEG"), 1)
    upload(page, "image.jpg", picture_file(kind="JPEG"), 0)
    settings = page.settings()
    assert (settings.photo, settings.styles[0].image) == ("image.jpg", "image_2.jpg")
    assert [load_image(page.uploads.source(name)).shape[2] for name in ("image.jpg", "image_2.jpg")] == [60, 70]


def test_pictures_of_16_bits_have_a_thumbnail(page):
    file = io.BytesIO()
    Image.fromarray(np.linspace(0, 65535, 2400).reshape(40, 60).astype(np.uint16)).save(file, "PNG")
    upload(page, "deep.png", file.getvalue())
    assert 'alt="The photo: deep.png"' in page.ends[0].value


def test_the_extra_names_what_the_studio_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {re.split(r"[=<>]", line)[0] for line in project["optional-dependencies"]["studio"]}
    assert needed == {"voila", "ipywidgets", "ipycanvas"}
    assert "children" in studio().keys  # a box


# In a browser.


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The studio as `make studio` serves it; its kernels import the package that is tested here."""
    folder = tmp_path_factory.mktemp("studio")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    [command] = re.findall(r"^\t\$\(BIN\)/python (-m voila .+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    paths = {"PYTHONPATH": str(Path(nst_keras.__file__).parents[1]), "JUPYTER_DATA_DIR": str(folder)}
    with open(folder / "log", "w") as log:
        server = subprocess.Popen(
            [sys.executable, *command.split(), "--no-browser", f"--port={port}"],
            cwd=ROOT,
            env=os.environ | paths,
            stdout=log,
            stderr=log,
        )
        server.address = f"http://127.0.0.1:{port}/"
        server.kernels = lambda: psutil.Process(server.pid).children()
        deadline = time.monotonic() + 60
        while not listens(port):
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield server
        server.terminate()
        server.wait(30)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def context(browser):
    """A window of the browser, and what its pages asked for."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(60_000)
    context.asked, context.refused = [], []
    context.on("request", lambda request: context.asked.append(request.url))
    context.on(
        "requestfailed", lambda request: context.refused.append(request.url) if request.failure == "csp" else None
    )
    yield context
    context.close()


def open_studio(context, server):
    """A page that is ready, set to little work."""
    tab = context.new_page()
    tab.errors = []
    tab.on("pageerror", lambda error: tab.errors.append(str(error)))
    tab.goto(server.address)
    button(tab, "Paint").wait_for()
    return tab


def button(tab, name):
    return tab.get_by_role("button", name=name, exact=True)


def set_to(tab, **numbers):
    for name, number in numbers.items():
        tab.get_by_label(name, exact=True).fill(str(number))
        tab.get_by_label(name, exact=True).press("Tab")


def send(tab, number, name, content):
    """Choose a file by one of the buttons that upload."""
    with tab.expect_file_chooser() as chooser:
        tab.get_by_role("button", name="Upload").nth(number).click()
    chooser.value.set_files({"name": name, "mimeType": "", "buffer": content})


def says(tab, text):
    expect(tab.get_by_text(text).first).to_be_visible(timeout=60_000)


def files_of_the_project():
    paths = {path for folder in (ROOT, ROOT / "notebooks") for path in folder.iterdir()}
    return {path for path in paths if not path.name.startswith(".coverage")}


def test_choose_upload_paint_stop_go_on_and_download(context, server):
    before = files_of_the_project()
    tab = open_studio(context, server)
    for name, content, answer in BAD_FILES.values():
        send(tab, 0, name, content)
        says(tab, answer.replace("&lt;", "<").replace("&gt;", ">"))
    large = picture_file(2600, 2600)
    assert len(large) > 20_000_000
    send(tab, 0, "large.png", large)
    says(tab, "large.png is uploaded.")
    expect(tab.get_by_alt_text("The photo: large.png").first).to_be_visible()
    tab.locator("select").nth(1).select_option("poppies")
    set_to(tab, size=3.7)
    says(tab, "size must be a whole number from 1 to 65535, or None, not 3.7.")
    set_to(tab, size=48, steps="1e2")
    button(tab, "Paint").click()
    says(tab, "of 100,")
    picture = tab.get_by_alt_text("The picture so far")
    first = picture.get_attribute("src")
    expect(picture).not_to_have_attribute("src", first, timeout=60_000)
    tab.get_by_role("slider").focus()
    tab.get_by_role("slider").press("ArrowRight")
    tab.wait_for_timeout(1000)
    assert not button(tab, "Stop").is_disabled()
    button(tab, "Stop").click()
    says(tab, "Stopped after step")
    set_to(tab, steps=12)
    button(tab, "Go on").click()
    says(tab, "Done: ")
    assert tab.get_by_alt_text("The losses after each step").evaluate("image => image.naturalWidth") > 300
    saved = Image.open(saved_by(tab, "Download the picture"))
    assert (saved.format, saved.size) == ("PNG", (48, 48))
    assert '"large.png",\n    "poppies",\n    size=48,\n    style_weight=' in saved.text["Python"]
    tab.get_by_text("Copy as code").click()
    assert tab.locator("pre").all_inner_texts() == [saved.text["Python"], saved.text["Command"]]
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    button(tab, "Copy").last.click()
    button(tab, "Copied").wait_for()
    assert tab.evaluate("navigator.clipboard.readText()") == saved.text["Command"]
    button(tab, "Make a film").click()
    assert Image.open(saved_by(tab, "Download the film")).n_frames > 10
    assert tab.errors == []
    outside = [address for address in context.asked if not address.startswith((server.address, "data:", "blob:"))]
    assert set(outside) <= set(context.refused)  # Voilà's two icon style sheets: the browser does not ask for them
    assert files_of_the_project() == before


def test_a_region_is_painted_with_the_mouse_and_with_a_finger(browser, server):
    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True)
    tab = open_studio(context, server)
    tab.get_by_text("Copy as code").click()
    tab.get_by_label("region").select_option("painted by hand")
    canvas = tab.locator("canvas[width='480']")  # of the photo; a new one has another size at first
    canvas.scroll_into_view_if_needed()
    place = canvas.bounding_box()
    assert place["width"] <= 390
    assert place["width"] / place["height"] == pytest.approx(1.5, rel=0.01)
    left, right = (place["x"] + part * place["width"] for part in (0.2, 0.8))
    high, low = (place["y"] + part * place["height"] for part in (0.25, 0.75))
    shown = "canvas => [80, 160, 240].map(y => canvas.getContext('2d').getImageData(240, y, 1, 1).data.join())"
    tab.wait_for_function("document.querySelector('canvas').getContext('2d').getImageData(240, 80, 1, 1).data[3]")
    region = tab.get_by_text("Download region_1.png")
    seen = [(region.get_attribute("href"), canvas.evaluate(shown))]

    def look():
        expect(region).not_to_have_attribute("href", seen[-1][0], timeout=60_000)
        tab.wait_for_timeout(500)  # the browser decodes what it shows
        seen.append((region.get_attribute("href"), canvas.evaluate(shown)))

    tab.mouse.move(left, high)
    tab.mouse.down()
    tab.mouse.move(right, high, steps=5)
    tab.mouse.up()
    look()
    finger = context.new_cdp_session(tab)
    middle = (left + right) / 2
    for kind, x in (("touchStart", left), ("touchMove", middle), ("touchMove", right), ("touchEnd", None)):
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": low}] if x else []})
    look()
    saved = Image.open(saved_by(tab, "Download region_1.png"))
    assert [saved.getpixel((240, y)) for y in (80, 160, 240)] == [255, 0, 255]
    button(tab, "Clear").click()
    look()
    (_, photo), (_, mouse), (_, both), (_, cleared) = seen
    assert mouse == [mouse[0], *photo[1:]]
    assert both == [mouse[0], photo[1], both[2]]
    assert mouse[0] != photo[0]
    assert both[2] != photo[2]
    assert cleared == photo
    assert tab.errors == []
    context.close()


def saved_by(tab, words):
    with tab.expect_download() as download:
        tab.get_by_text(words).click()
    return download.value.path()


def test_two_pages_do_not_disturb_each_other_and_a_closed_one_ends_its_run(context, server):
    before = server.kernels()
    pages = [open_studio(context, server) for _ in range(2)]
    for page, size in zip(pages, (48, 32), strict=True):
        set_to(page, size=size, steps=2000)
        button(page, "Paint").click()
    for page, shown in zip(pages, ("48×32 pixels", "32×21 pixels"), strict=True):
        says(page, shown)
    kernels = [kernel for kernel in server.kernels() if kernel not in before]
    pages[0].close(run_before_unload=True)
    gone, alive = wait_for_one(kernels)
    assert len(gone) == 1
    step = pages[1].get_by_text("of 2000,")
    expect(step).not_to_have_text(step.inner_text(), timeout=20_000)
    pages[1].close(run_before_unload=True)
    assert psutil.wait_procs(alive, timeout=20)[1] == []


def wait_for_one(processes):
    for _ in range(100):
        gone, alive = psutil.wait_procs(processes, timeout=0.2)
        if gone:
            break
    return gone, alive


@pytest.mark.parametrize(("width", "theme"), [(390, "light"), (1280, "dark")])
def test_the_page_is_whole_and_its_pictures_have_their_texts(context, server, width, theme):
    tab = context.new_page()
    tab.set_viewport_size({"width": width, "height": 800})
    tab.goto(f"{server.address}?theme={theme}")
    button(tab, "Add a painting").click()
    expect(tab.get_by_alt_text("The painting: composition_viii")).to_be_visible()
    tab.get_by_label("region").first.select_option("painted by hand")
    tab.locator("canvas[width='480']").wait_for()
    says(tab, "more of the photo")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    wide = """[...document.querySelectorAll('.studio *')]
        .filter(part => part.getBoundingClientRect().right > innerWidth).map(part => part.outerHTML.slice(0, 200))"""
    assert tab.evaluate(wide) == []
    texts = "[...document.querySelectorAll('.thumbnail img')].map(image => image.alt)"
    assert tab.evaluate(texts).count("The painting: great_wave") == 2
    grey = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
    assert (max(tab.evaluate(grey)) < 64) == (theme == "dark")
    tab.close(run_before_unload=True)
