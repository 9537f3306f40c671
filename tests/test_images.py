import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from nst_keras import load_image, noise_image, pictures, save_image, to_pil
from nst_keras.images import resize_image
from nst_keras.pictures import BUNDLED, check_output_path, fitted_shape, open_picture, pixels_of

RED, WHITE = [1, 0, 0], [1, 1, 1]


def encoded(picture, image_format, **options):
    buffer = io.BytesIO()
    picture.save(buffer, image_format, **options)
    return buffer.getvalue()


def red(mode="RGB", size=(6, 4)):
    return Image.new("RGB", size, "red").convert(mode)


def test_path_bytes_pil_and_array_give_the_same_image(tmp_path):
    picture = Image.effect_noise((6, 4), 80).convert("RGB")
    path = tmp_path / "рисунок с пробелом.png"
    picture.save(path)
    expected = np.asarray(picture, np.float64)[None] / 255
    for source in (path, str(path), path.read_bytes(), picture, np.asarray(picture), expected):
        image = load_image(source)
        assert image.shape == (1, 4, 6, 3)
        assert image.dtype == "float32"
        np.testing.assert_allclose(image, expected, atol=1e-7)


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_pictures_load_by_name(name):
    assert load_image(name, size=32).shape[0::3] == (1, 3)


def test_an_installed_package_finds_the_pictures_it_carries(tmp_path):
    shutil.copytree(
        Path(pictures.__file__).parent, tmp_path / "nst_keras", ignore=shutil.ignore_patterns("__pycache__", "data")
    )
    carried = tmp_path / "nst_keras" / "data" / "style" / "starry_night.jpg"
    carried.parent.mkdir(parents=True)
    carried.write_bytes(encoded(red(), "JPEG"))
    code = "from nst_keras.pictures import BUNDLED; print(*BUNDLED)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert run.stdout == "starry_night\n"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "YCbCr", "LAB"])
def test_colour_modes_come_out_as_rgb(mode):
    picture = red("RGB").convert("LAB") if mode == "LAB" else red(mode)
    np.testing.assert_allclose(load_image(picture)[0, 0, 0], RED, atol=0.02)


@pytest.mark.parametrize(
    ("picture", "value"),
    [
        (Image.new("L", (3, 2), 51), 51 / 255),
        (Image.new("LA", (3, 2), (51, 255)), 51 / 255),
        (Image.new("1", (3, 2), 1), 1.0),
        (Image.fromarray(np.full((2, 3), 13107, np.uint16)), 0.2),
        (Image.fromarray(np.full((2, 3), 13107, np.int32)), 0.2),
        (Image.fromarray(np.full((2, 3), 0.2, np.float32)), 0.2),
        (np.ones((2, 3), bool), 1.0),
    ],
    ids=["8 bits", "with alpha", "1 bit", "16 bits", "16 of 32 bits", "float", "truth values"],
)
def test_greyscale_of_every_depth(picture, value):
    np.testing.assert_allclose(load_image(picture), np.full((1, 2, 3, 3), value), atol=1e-6)


def test_32_bits_are_taken_where_16_hold_them():
    whole_range = Image.fromarray(np.array([[0, 65535]], np.int32))
    np.testing.assert_array_equal(load_image(whole_range)[0, 0, :, 0], [0, 1])
    for values in ([0, 65536], [-1, 5]):
        with pytest.raises(ValueError, match="this holds int32"):
            load_image(Image.fromarray(np.array([values], np.int32)))


def test_16_bit_png_keeps_its_range():
    image = load_image(encoded(Image.fromarray(np.full((2, 3), 13107, np.uint16)), "PNG"))
    np.testing.assert_allclose(image, 0.2, atol=1e-6)


def test_transparency_is_laid_on_white():
    half = Image.new("RGBA", (3, 2), (255, 0, 0, 51))
    np.testing.assert_allclose(load_image(half)[0, 0, 0], [1, 0.8, 0.8], atol=0.01)
    array = np.concatenate([np.full((2, 3, 3), 0.5), np.full((2, 3, 1), 0.2)], axis=-1)
    np.testing.assert_allclose(load_image(array)[0, 0, 0], [0.9, 0.9, 0.9], atol=1e-6)
    palette = red("P")
    palette.info["transparency"] = palette.getpixel((0, 0))
    np.testing.assert_allclose(load_image(encoded(palette, "PNG"))[0, 0, 0], WHITE)


def test_exif_rotation_is_applied():
    picture = red(size=(6, 4))
    picture.putpixel((0, 0), (0, 0, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise: the upper left corner belongs to the upper right
    image = load_image(encoded(picture, "PNG", exif=exif))
    assert image.shape == (1, 6, 4, 3)
    np.testing.assert_allclose(image[0, 0, -1], [0, 0, 1])


def test_first_frame_of_an_animation_is_taken():
    film = encoded(red(), "GIF", save_all=True, append_images=[Image.new("RGB", (6, 4), "blue")])
    np.testing.assert_allclose(load_image(film)[0, 0, 0], RED, atol=0.01)


@given(st.integers(1, 4000), st.integers(1, 4000), st.integers(1, 2000))
def test_size_is_the_longer_side_and_the_aspect_is_kept(height, width, size):
    new_height, new_width = fitted_shape(height, width, size)
    assert max(new_height, new_width) == size
    assert abs(new_height - max(1, height * size / max(height, width))) <= 0.5
    assert abs(new_width - max(1, width * size / max(height, width))) <= 0.5


def test_resizing_keeps_a_gradient_and_stays_in_range():
    ramp = np.tile(np.linspace(0, 1, 60)[:, None], (40, 1, 3)).reshape(1, 40, 60, 3).astype(np.float32)
    small = resize_image(ramp, (20, 30)).numpy()
    np.testing.assert_allclose(small[0, 10, :, 0], np.linspace(0, 1, 60).reshape(30, 2).mean(axis=1), atol=0.01)
    checkers = (np.indices((40, 60)).sum(axis=0) // 5 % 2)[None, ..., None] * np.ones(3, np.float32)
    for shape in ((13, 20), (90, 133)):
        resized = resize_image(checkers.astype(np.float32), shape).numpy()
        assert resized.shape == (1, *shape, 3)
        assert resized.min() >= 0
        assert resized.max() <= 1


def test_resizing_averages_what_is_finer_than_the_new_pixels():
    checkers = (np.indices((40, 60)).sum(axis=0) % 2)[None, ..., None] * np.ones(3, np.float32)
    np.testing.assert_allclose(
        resize_image(checkers.astype(np.float32), (8, 12)), np.full((1, 8, 12, 3), 0.5), atol=0.05
    )


def test_an_image_of_the_right_size_is_not_resized():
    image = load_image(red())
    assert resize_image(image, (4, 6)) is image


@settings(deadline=None)
@example(400, 30, 100)
@given(st.integers(1, 2000), st.integers(1, 50), st.integers(1, 200))
def test_a_large_picture_is_reduced_before_it_becomes_floats_but_not_too_far(width, height, size):
    pixels = pixels_of(Image.new("RGB", (width, height)), size)
    assert min(max(width, height), 2 * size) <= max(pixels.shape) < max(4 * size, 4)
    assert load_image(Image.new("RGB", (width, height)), size).shape[1:3] == fitted_shape(height, width, size)


@settings(deadline=None)
@given(npst.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_to_pil_is_the_inverse_of_load_image(array):
    np.testing.assert_array_equal(np.asarray(to_pil(load_image(array))), array)


@pytest.mark.parametrize("ending", [".png", ".PNG", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".gif"])
def test_save_writes_the_format_of_the_ending(tmp_path, ending):
    path = tmp_path / f"picture{ending}"
    save_image(path, np.full((1, 20, 30, 3), 0.5))
    np.testing.assert_allclose(load_image(path), 0.5, atol=0.01)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_process_that_is_killed_while_it_saves_leaves_a_whole_picture(tmp_path, start):
    path = tmp_path / "picture.png"
    save_image(path, np.full((1, 20, 30, 3), 0.2))
    code = """if True:
        import io, sys, time
        from PIL import Image
        from nst_keras.pictures import replacing
        buffer = io.BytesIO()
        Image.effect_noise((200, 200), 80).save(buffer, "PNG")
        with replacing(sys.argv[1]) as unfinished:
            unfinished.write_bytes(buffer.getvalue()[:10_000])
            print("half of it is written", flush=True)
            time.sleep(60)
    """
    child = start([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert child.stdout.readline().strip() == b"half of it is written"
    child.kill()
    child.wait(timeout=10)
    np.testing.assert_allclose(load_image(path), 0.2, atol=1e-6)
    hidden = [name for name in os.listdir(tmp_path) if name != "picture.png"]
    assert len(hidden) == 1  # what is left of the other is hidden, and harms nobody
    assert hidden[0].startswith(".")
    save_image(path, np.zeros((1, 4, 4, 3)))
    assert load_image(path).shape == (1, 4, 4, 3)


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    save_image(path, np.zeros((1, 4, 4, 3)))
    before = path.read_bytes()

    save = Image.Image.save

    def full_disk(self, file, **options):
        if isinstance(file, io.BytesIO):  # not on the disk
            return save(self, file, **options)
        file.write_bytes(b"half a pic")
        raise OSError("No space left on device")

    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_image(path, np.ones((1, 4, 4, 3)))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("picture.xyz", ValueError, r"picture\.xyz.*its ending '\.xyz' names no image format .*use \.png"),
        ("picture", ValueError, "its ending '' names no"),
        ("picture.h5", ValueError, "names no image format"),  # Pillow knows of it, and cannot write it
        ("picture.palm", ValueError, "names no image format"),  # Pillow writes it, and cannot read it
        ("picture.msp", ValueError, "names no image format"),  # black and white
        ("picture.ico", ValueError, "names no image format"),  # at most 256 pixels high
        ("p" * 197 + ".png", ValueError, "pppp… cannot be written: its name is too long"),
        ("nowhere/picture.png", FileNotFoundError, "there is no folder .*nowhere"),
        ("folder.png", ValueError, "it is a folder"),
    ],
)
def test_an_impossible_output_is_refused(tmp_path, name, error, says):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(error, match=says):
        save_image(tmp_path / name, np.zeros((1, 4, 4, 3)))


def test_an_image_in_the_place_of_the_path_is_told_its_own(tmp_path):
    image = noise_image(4, 6)
    for wrong in (image, image.numpy(), to_pil(image), None):
        with pytest.raises(ValueError, match=r"^The place to save is a path, not \w+; it comes first"):
            save_image(wrong, str(tmp_path / "out.png"))


def test_an_animation_has_to_be_a_gif(tmp_path):
    assert check_output_path(tmp_path / "film.GIF", animation=True) == "GIF"
    for name in ("film.bmp", "film.png", "film.mp4"):
        with pytest.raises(ValueError, match=r"an animation is a \.gif file"):
            check_output_path(tmp_path / name, animation=True)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="a folder in which even root makes no file: Linux only")
def test_a_folder_that_takes_no_file_is_refused():
    with pytest.raises(PermissionError, match=r"the folder /proc/self/fd takes no new file \("):
        save_image("/proc/self/fd/picture.png", np.zeros((1, 4, 4, 3)))


def test_files_that_are_no_images_are_named(tmp_path):
    whole = encoded(red(size=(200, 200)), "JPEG")
    for name, contents in {"text.jpg": b"hello", "cut.jpg": whole[: len(whole) // 2]}.items():
        path = tmp_path / name
        path.write_bytes(contents)
        with pytest.raises(ValueError, match=name):
            load_image(path)
    with pytest.raises(ValueError, match="this picture is not"):
        load_image(b"hello")
    with pytest.raises(ValueError, match="is a folder"):
        load_image(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no file monalisa\.jpg.*great_wave"):
        load_image("monalisa.jpg")


@pytest.mark.parametrize("limit", [4_000_000, 1_000_000])  # Pillow only warns of up to twice the limit
def test_a_decompression_bomb_is_refused(monkeypatch, limit):
    bomb = encoded(Image.new("1", (2100, 2000)), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(ValueError, match=f"more than {limit // 10**6} million pixels; make it smaller"):
        load_image(bomb)


def test_too_little_memory_is_not_taken_for_a_damaged_file(monkeypatch):
    def load(self):
        raise MemoryError

    picture = encoded(red(), "PNG")
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    with pytest.raises(MemoryError):
        load_image(picture)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.full((2, 3, 3), 255.0), r"go from 255 to 255\. Divide"),
        (np.full((2, 3, 3), 1.01), "go from 1.01"),
        (np.full((2, 3, 3), -0.01), "go from -0.01"),
        (np.full((2, 3, 3), np.nan), "nan"),
        (np.full((2, 3, 3), np.inf), "inf"),
        (np.zeros((2, 3, 3), np.int64), "int64"),
        (np.zeros((2, 3, 3), complex), "complex"),
        (np.zeros((2, 3, 3), object), "object"),
        (np.array("x"), r"A picture is a file, .* or an array, not array\('x'"),
        (np.zeros((2, 3, 2)), r"this has \(2, 3, 2\)"),
        (np.zeros((2, 3, 5)), r"this has \(2, 3, 5\)"),
        (np.zeros((2, 4, 5, 3)), r"this has \(2, 4, 5, 3\)"),
        (np.zeros((0, 4, 5, 3)), r"this has \(0, 4, 5, 3\)"),
        (np.zeros((0, 3, 3)), r"this has \(0, 3, 3\)"),
    ],
)
def test_arrays_that_are_no_images_are_refused(array, says):
    with pytest.raises(ValueError, match=says):
        load_image(array)


def test_one_row_and_one_pixel_are_images():
    row = np.linspace(0, 1, 15).reshape(1, 5, 3)
    np.testing.assert_allclose(load_image(row), row[None], atol=1e-7)
    np.testing.assert_allclose(load_image([[0.5]]), np.full((1, 1, 1, 3), 0.5))


def test_what_rounding_adds_at_the_ends_of_the_range_is_clipped():
    np.testing.assert_array_equal(load_image(np.array([[-5e-7, 1 + 5e-7]]))[0, 0, :, 0], [0, 1])


def test_the_longest_name_and_the_largest_size_are_taken(tmp_path):
    path = tmp_path / ("p" * 196 + ".png")
    save_image(path, np.zeros((1, 4, 4, 3)))
    assert load_image(path).shape == (1, 4, 4, 3)
    assert fitted_shape(1, 65535, 65535) == (1, 65535)


def test_a_file_whose_values_have_no_meaning_is_named(tmp_path):
    path = tmp_path / "depth.tiff"
    Image.fromarray(np.array([[0.5, 7.0]], np.float32)).save(path)
    with pytest.raises(
        ValueError, match=r"depth\.tiff cannot be used as a picture\. .*from 0\.5 to 7\. .* the rest\.$"
    ):
        open_picture(path)
    with pytest.raises(ValueError, match="it has no pixels"):
        open_picture(Image.new("RGB", (0, 5)))


@pytest.mark.parametrize("size", [0, -5, 2.5, "320", True, 65536])
def test_a_wrong_size_is_refused(size):
    with pytest.raises(ValueError, match="size is the longer side"):
        load_image("cat", size=size)


def test_faint_noise_is_the_same_noise_nearer_to_mid_grey():
    noise, faint = noise_image(30, 40, seed=7), noise_image(30, 40, seed=7, contrast=0.1)
    assert noise.numpy().min() < 0.01 < 0.99 < noise.numpy().max()
    np.testing.assert_allclose(faint, 0.45 + noise.numpy() / 10, atol=1e-6)
