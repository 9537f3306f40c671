"""Where pixels come from: colour profiles, streams, pipes, threads; and how they are written."""

import gc
import io
import os
import threading
import warnings
from contextlib import nullcontext

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps, features

from nst_keras import load_image, save_image
from nst_keras.pictures import open_picture, srgb_profile

COLOURS = np.array([[[255, 0, 0], [0, 255, 0], [30, 60, 200], [128, 128, 128], [250, 240, 10]]], np.uint8)


def encoded(picture, image_format="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, image_format, **options)
    return buffer.getvalue()


def s15_fixed16(value):
    return round(value * 65536).to_bytes(4, "big", signed=True)


def matrix_profile(columns, gamma):
    """A colour profile (ICC 2.1) written by hand: the XYZ of red, green and blue (under D50), and a gamma."""
    tags = {
        b"desc": b"desc" + bytes(4) + (5).to_bytes(4, "big") + b"hand\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + b"".join(map(s15_fixed16, (0.9642, 1.0, 0.8249))),
    }
    for name, column in zip(b"rgb", columns, strict=True):
        tags[bytes([name]) + b"XYZ"] = b"XYZ " + bytes(4) + b"".join(map(s15_fixed16, column))
        tags[bytes([name]) + b"TRC"] = (
            b"curv" + bytes(4) + (1).to_bytes(4, "big") + round(gamma * 256).to_bytes(2, "big")
        )
    return assemble(b"RGB ", tags)


def gamma_curve(gamma):
    return b"curv" + bytes(4) + (1).to_bytes(4, "big") + round(gamma * 256).to_bytes(2, "big")


def grey_profile(gamma):
    tags = {
        b"desc": b"desc" + bytes(4) + (5).to_bytes(4, "big") + b"grey\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + b"".join(map(s15_fixed16, (0.9642, 1.0, 0.8249))),
        b"kTRC": gamma_curve(gamma),
    }
    return assemble(b"GRAY", tags)


def assemble(space, tags):
    table, body = len(tags).to_bytes(4, "big"), b""
    begin = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + (begin + len(body)).to_bytes(4, "big") + len(data).to_bytes(4, "big")
        body += data + bytes(-len(data) % 4)
    size = (begin + len(body)).to_bytes(4, "big")
    header = size + bytes(4) + b"\2\x10\0\0" + b"mntr" + space + b"XYZ " + bytes(12) + b"acsp" + bytes(28)
    header += b"".join(map(s15_fixed16, (0.9642, 1.0, 0.8249)))
    return header + bytes(128 - len(header)) + table + body


# Columns of the matrices that lead from linear RGB to XYZ under D50 (Lindbloom, "RGB/XYZ Matrices").
ADOBE_RGB = [(0.6097559, 0.3111242, 0.0194811), (0.2052401, 0.6256560, 0.0608902), (0.1492240, 0.0632197, 0.7448387)]
PROPHOTO = [(0.7976749, 0.2880402, 0.0), (0.1351917, 0.7118741, 0.0), (0.0313534, 0.0000857, 0.8252100)]
SRGB = [(0.4360747, 0.2225045, 0.0139322), (0.3850649, 0.7168786, 0.0971045), (0.1430804, 0.0606169, 0.7141733)]
PROFILES = {"Adobe RGB": (ADOBE_RGB, 2.19921875), "ProPhoto": (PROPHOTO, 1.8)}


def in_space(colours, columns, gamma):
    """The numbers that stand for these sRGB colours in another space, by the formulas, in float64."""
    signal = colours / 255
    linear = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    other = linear @ np.array(SRGB) @ np.linalg.inv(np.array(columns))
    return np.rint(255 * np.clip(other, 0, 1) ** (1 / gamma)).astype(np.uint8)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "WEBP", "JPEG", "AVIF"])
def test_colours_come_out_as_srgb_whatever_the_profile(profile, image_format):
    if image_format in ("WEBP", "AVIF"):
        assert features.check(image_format.lower())
    columns, gamma = PROFILES[profile]
    stored = in_space(COLOURS, columns, gamma)
    assert np.abs(stored.astype(int) - COLOURS).max() > 30  # so there is something to convert
    picture = Image.fromarray(stored).resize((80, 16), Image.Resampling.NEAREST)
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(
        image_format, {"quality": 100}
    )
    data = encoded(picture, image_format, icc_profile=matrix_profile(columns, gamma), **options)
    found = 255 * load_image(data)[0, 8, 8::16].numpy()
    # 8 bits hold the dark end of a colour coarsely; JPEG and AVIF add their own rounding.
    np.testing.assert_allclose(found, COLOURS[0], atol=12 if image_format in ("JPEG", "AVIF") else 6)


def test_red_of_srgb_in_adobe_rgb_is_red():
    stored = Image.new("RGB", (4, 4), (219, 0, 0))
    image = load_image(encoded(stored, icc_profile=matrix_profile(ADOBE_RGB, 2.19921875)))
    np.testing.assert_allclose(255 * image[0, 0, 0].numpy(), [255, 0, 0], atol=2)


def test_a_profile_of_srgb_changes_nothing():
    random = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    profiled = load_image(encoded(Image.fromarray(random), icc_profile=srgb_profile()))
    np.testing.assert_array_equal(255 * profiled.numpy()[0], random.astype(np.float32))


def test_a_palette_a_transparent_and_a_grey_picture_are_converted_too():
    profile = matrix_profile(ADOBE_RGB, 2.19921875)
    red = Image.new("RGB", (4, 4), (219, 0, 0))
    half = Image.new("RGBA", (4, 4), (219, 0, 0, 51))
    for picture, expected in ((red.quantize(4), [255, 0, 0]), (half, [255, 204, 204])):
        image = load_image(encoded(picture, icc_profile=profile))
        np.testing.assert_allclose(255 * image[0, 0, 0].numpy(), expected, atol=2)
    linear = load_image(encoded(Image.new("L", (4, 4), 55), icc_profile=grey_profile(1.0)))
    expected = 255 * (1.055 * (55 / 255) ** (1 / 2.4) - 0.055)  # the transfer function of sRGB
    np.testing.assert_allclose(255 * linear[0, 0, 0].numpy(), [expected] * 3, atol=1.5)


def test_a_picture_in_four_printing_colours_is_converted_by_its_profile():
    """A profile by hand in which only the black ink counts: from L* 100 without it to L* 0, always grey."""
    white_to_black = bytes([255, 128, 128, 0, 128, 128]) * 8  # a table with two entries for each of the four inks
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + b"".join(map(s15_fixed16, (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    lut += bytes(range(256)) * 4 + white_to_black + bytes(range(256)) * 3
    tags = {
        b"desc": b"desc" + bytes(4) + (5).to_bytes(4, "big") + b"cmyk\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + b"".join(map(s15_fixed16, (0.9642, 1.0, 0.8249))),
        b"A2B0": lut,
    }
    profile = bytearray(assemble(b"CMYK", tags))
    profile[12:16], profile[20:24] = b"prtr", b"Lab "
    picture = Image.new("CMYK", (8, 8), (200, 10, 30, 40))
    plain = load_image(encoded(picture, "JPEG"))[0, 0, 0].numpy()
    managed = load_image(encoded(picture, "JPEG", icc_profile=bytes(profile)))[0, 0, 0].numpy()
    assert np.ptp(plain) > 0.3
    lightness = 100 * (1 - 40 / 255)
    linear = ((lightness + 16) / 116) ** 3  # CIE 1976
    np.testing.assert_allclose(managed, np.full(3, 1.055 * linear ** (1 / 2.4) - 0.055), atol=0.02)


@pytest.mark.parametrize("profile", [b"no profile", b"\0" * 200, matrix_profile(ADOBE_RGB, 2.2)[:150]])
def test_a_damaged_profile_is_ignored(profile):
    picture = Image.fromarray(COLOURS)
    np.testing.assert_allclose(255 * load_image(encoded(picture, icc_profile=profile))[0].numpy(), COLOURS)


def test_a_profile_of_another_kind_of_colours_is_ignored():
    picture = Image.new("CMYK", (8, 8), (200, 10, 30, 40))
    plain = load_image(encoded(picture, "JPEG"))
    found = load_image(encoded(picture, "JPEG", icc_profile=matrix_profile(ADOBE_RGB, 2.2)))
    np.testing.assert_array_equal(found, plain)


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".tif", ".avif"])
def test_saved_files_say_that_they_are_in_srgb_and_are_equal_where_pictures_are(tmp_path, ending):
    first, second = tmp_path / f"first{ending}", tmp_path / f"second{ending}"
    for path in (first, second):
        save_image(path, np.full((1, 20, 30, 3), 0.5))
    with Image.open(first) as picture:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(picture.info["icc_profile"]))
    assert "sRGB" in ImageCms.getProfileDescription(profile)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("ending", [".jpg", ".avif"])
def test_saved_colours_keep_their_resolution(tmp_path, ending):
    stripes = np.zeros((1, 32, 32, 3))
    stripes[:, :, ::2, 0] = stripes[:, :, 1::2, 2] = 1  # red and blue in turn
    path = tmp_path / f"stripes{ending}"
    save_image(path, stripes)
    assert np.abs(load_image(path) - stripes).mean() < 0.1  # with halved colours all is purple: 0.33


def test_streams_and_views_of_bytes_are_read(tmp_path):
    picture = Image.effect_noise((6, 4), 80).convert("RGB")
    data = encoded(picture)
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    written = io.BytesIO()
    picture.save(written, "PNG")  # its position is at the end
    with open(path, "rb") as opened:
        for source in (io.BytesIO(data), written, opened, memoryview(data), bytearray(data)):
            np.testing.assert_array_equal(load_image(source), load_image(path))


def test_a_stream_that_is_no_picture_is_named(tmp_path):
    path = tmp_path / "text.png"
    path.write_text("hello")
    with open(path) as text, pytest.raises(ValueError, match=r"text\.png is open as text; open it with the mode 'rb'"):
        load_image(text)
    with open(path, "rb") as opened, pytest.raises(ValueError, match=r"text\.png is not an image"):
        load_image(opened)
    with pytest.raises(ValueError, match="this picture is not an image"):
        load_image(io.BytesIO(b"hello"))


def test_what_is_empty_is_said_to_be(tmp_path):
    path = tmp_path / "empty.jpg"
    path.touch()
    reading, writing = os.pipe()  # cannot be read twice
    os.close(writing)
    with open(path, "rb") as opened, open(reading, "rb") as pipe:
        for source, name in (
            (path, r"empty\.jpg"),
            (opened, r"empty\.jpg"),
            (b"", "this picture"),
            (pipe, "this picture"),
        ):
            with pytest.raises(ValueError, match=f"{name} is empty; it holds no picture"):
                open_picture(source)


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="Windows keeps its devices elsewhere")
def test_a_device_is_no_picture():
    with pytest.raises(ValueError, match=r"^/dev/null is a device; name a file\.$"):
        open_picture("/dev/null")


@pytest.mark.parametrize("name", ["n" * 5000, "folder/" * 1000, "a\0b"])
def test_a_name_that_no_file_can_have_is_none_of_a_file(name):
    with pytest.raises(FileNotFoundError, match="There is no file ") as error:
        open_picture(name)
    assert len(str(error.value)) < 500


def test_a_name_without_letters_is_answered():
    with pytest.raises(ValueError, match="The name of a picture is empty; name a file, or a bundled picture"):
        open_picture("")


def test_a_folder_that_is_closed_to_us_is_not_taken_for_none(monkeypatch):
    def stat(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.stat", stat)
    with pytest.raises(PermissionError, match="Permission denied"):
        open_picture("closed/cat.jpg")


def test_the_home_folder_has_a_short_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    save_image("~/grey.png", np.full((1, 4, 4, 3), 0.2))
    assert [path.name for path in tmp_path.iterdir()] == ["grey.png"]
    np.testing.assert_allclose(load_image("~/grey.png"), 0.2, atol=1e-6)
    with pytest.raises(FileNotFoundError, match="no file ~nobody-of-that-name/grey"):
        load_image("~nobody-of-that-name/grey.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes with names")
def test_a_pipe_with_a_name_is_read(tmp_path):
    pipe, data = tmp_path / "pipe", encoded(Image.new("RGB", (6, 4), "red"))
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(data,), daemon=True)
    writer.start()
    np.testing.assert_array_equal(load_image(pipe), load_image(data))
    writer.join(timeout=10)


def test_threads_leave_the_warnings_of_the_process_as_they_were(monkeypatch):
    """Each of them is held inside until the others had the chance to come in."""
    data, before = encoded(Image.new("RGB", (6, 4))), list(warnings.filters)
    inside, exif_of = threading.Barrier(4), Image.Image.getexif

    def slow(picture):
        with pytest.raises(threading.BrokenBarrierError):  # only one is in there at a time
            inside.wait(timeout=0.05)
        inside.reset()
        return exif_of(picture)

    monkeypatch.setattr(Image.Image, "getexif", slow)
    failures = []

    def read():
        try:
            open_picture(data)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert failures == []
    assert warnings.filters == before


def test_threads_that_save_under_one_name_leave_a_whole_picture(tmp_path):
    path, failures = tmp_path / "picture.png", []

    def save(value):
        try:
            for _ in range(15):
                save_image(path, np.full((1, 60, 80, 3), value))
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=save, args=(value,)) for value in (0.2, 0.4, 0.6, 0.8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert failures == []
    image = load_image(path).numpy()
    assert image.shape == (1, 60, 80, 3)
    assert np.ptp(image) == 0
    assert list(tmp_path.iterdir()) == [path]


def test_a_picture_is_decoded_once_on_its_way_to_an_image(tmp_path, monkeypatch):
    path, opened, turned = tmp_path / "picture.png", [], []
    Image.new("RGB", (60, 40)).save(path)
    image_open, transpose = Image.open, ImageOps.exif_transpose
    monkeypatch.setattr(Image, "open", lambda *a, **k: opened.append(a) or image_open(*a, **k))
    monkeypatch.setattr(ImageOps, "exif_transpose", lambda *a, **k: turned.append(a) or transpose(*a, **k))
    load_image(path, size=30)
    assert (len(opened), len(turned)) == (1, 0)


@pytest.mark.parametrize("whole", [True, False])
def test_a_file_that_is_opened_is_closed(tmp_path, whole):
    path = tmp_path / "film.gif"
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue", "white")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    if not whole:
        path.write_bytes(path.read_bytes()[:60])
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with nullcontext() if whole else pytest.raises(ValueError, match=r"film\.gif cannot be read"):
            open_picture(path)
        gc.collect()
    assert [str(warning.message) for warning in seen] == []


def test_a_name_that_is_nearly_that_of_a_bundled_picture_is_guessed():
    with pytest.raises(FileNotFoundError, match=r"no file great_wav, .*\. Did you mean great_wave\?$"):
        open_picture("great_wav")
    with pytest.raises(FileNotFoundError, match=r"nor a bundled picture of that name \([^)]*\)\.$"):
        open_picture("mona_lisa.jpg")


@pytest.mark.parametrize("source", [None, object(), {"path": "cat.jpg"}])
def test_what_is_no_picture_is_refused(source):
    with pytest.raises(ValueError, match=r"^A picture is a file, the name of a bundled one, or an array, not "):
        open_picture(source)
