"""Mutated image files and sets of arguments: every one is used correctly or refused in one sentence.

`make fuzz` tries 10 000 files and 1000 sets of arguments.
"""

import io
import os
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image, features

from nst_keras import load_image, transfer_style

FILES = int(os.environ.get("FUZZ_FILES", "300"))
RUNS = int(os.environ.get("FUZZ_RUNS", "40"))


def seed_files():
    colour = Image.linear_gradient("L").resize((24, 16))
    colour = Image.merge("RGB", (colour, colour.rotate(180), colour.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))
    palette = colour.quantize(16)
    palette.info["transparency"] = 3
    exif = Image.Exif()
    exif[0x0112] = 6
    sixteen_bits = Image.fromarray(np.arange(24 * 16, dtype=np.uint16).reshape(16, 24) * 100)
    decimals = Image.fromarray(np.linspace(0, 1, 24 * 16, dtype=np.float32).reshape(16, 24))
    kinds = [
        (colour, "JPEG", {"exif": exif}),
        (colour, "JPEG", {"progressive": True}),
        (colour.convert("CMYK"), "JPEG", {}),
        (colour, "PNG", {}),
        (palette, "PNG", {}),
        (sixteen_bits, "PNG", {}),
        (colour.convert("LA"), "PNG", {}),
        (colour.convert("1"), "PNG", {}),
        (colour, "GIF", {"save_all": True, "append_images": [colour.rotate(90)]}),
        (colour, "BMP", {}),
        (colour, "PPM", {}),
        (colour, "TGA", {}),
        (colour, "TIFF", {"compression": "tiff_lzw"}),
        (sixteen_bits, "TIFF", {}),
        (decimals, "TIFF", {}),
    ]
    kinds += [(colour.convert("RGBA"), "WEBP", {})] if features.check("webp") else []
    kinds += [(colour, "AVIF", {})] if features.check("avif") else []
    for picture, image_format, options in kinds:
        buffer = io.BytesIO()
        picture.save(buffer, image_format, **options)
        yield buffer.getvalue()


def mutate(contents, dice):
    contents = bytearray(contents)
    for _ in range(dice.choice([1, 1, 2, 5, 20])):
        place = dice.randrange(len(contents))
        length = dice.choice([1, 1, 2, 4, 30])
        kind = dice.choice(["flip", "overwrite", "cut", "insert", "truncate"])
        if kind == "flip":
            contents[place] ^= 1 << dice.randrange(8)
        elif kind == "overwrite":
            contents[place : place + length] = dice.choice([b"\0", b"\xff", b"\x80", b"\x7f"]) * length
        elif kind == "cut":
            del contents[place : place + length]
        elif kind == "insert":
            contents[place:place] = dice.randbytes(length)
        else:
            del contents[max(place, 1) :]
        if not contents:
            return b""
    return bytes(contents)


def test_the_files_are_sound_before_they_are_mutated():
    for contents in seed_files():
        assert load_image(contents).shape in [(1, 16, 24, 3), (1, 24, 16, 3)]


@pytest.mark.parametrize("seed", range(4))
def test_mutated_files_are_loaded_or_refused_in_one_sentence(seed):
    dice = random.Random(seed)
    originals = list(seed_files())
    outcomes = {"loaded": 0, "refused": 0}
    for _ in range(FILES // 4):
        contents = mutate(dice.choice(originals), dice)
        try:
            image = load_image(contents).numpy()
        except ValueError as error:
            refusal = str(error)
        else:
            refusal = None
        outcomes["refused" if refusal else "loaded"] += 1
        if refusal:
            assert "\n" not in refusal
            assert len(refusal) < 500
        else:
            assert image.ndim == 4
            assert (image.shape[0], image.shape[3], image.dtype) == (1, 3, np.float32)
            assert 0 <= image.min() <= image.max() <= 1
    assert min(outcomes.values()) > FILES // 40  # both ways are really tried


def mostly(sound, *odd):
    """Of ten draws nine are sound: with eleven arguments about a third of the sets can be painted."""
    return st.integers(0, 9).flatmap(lambda dice: sound if dice else st.sampled_from(odd))


WEIGHTS = mostly(
    st.sampled_from([0, 0.2, 1, 1e3, 1e-25, 1e30]), float("nan"), float("inf"), -1.0, 1e-40, 10**400, "much", None
)
LAYERS = mostly(
    st.sampled_from(["block1_conv1", ("block1_pool", "block2_conv2"), {"block3_conv1": 2, "block1_conv2": 0}]),
    *("conv9", [], None, 5, [["block1_conv1"]], ["block1_conv1"] * 2, {"block1_conv1": float("nan")}, {}),
)
ARGUMENTS = {
    "size": mostly(st.integers(16, 50), 0, -3, 3, 2.5, "24", (), True, 10**6, 10**400),
    "content_weight": WEIGHTS,
    "style_weight": WEIGHTS,
    "total_variation_weight": WEIGHTS,
    "content_layers": LAYERS,
    "style_layers": LAYERS,
    "steps": mostly(st.integers(1, 3), 0, -1, 1.5, "3", None, 10**30),
    "initial_step": mostly(st.just(0), 1, 2, -1, 99, None, 0.5),
    "init": mostly(
        st.sampled_from(["noise", "content", "cat"]), "cubism", None, np.full((4, 4, 3), np.nan), np.zeros((1, 9, 3))
    ),
    "optimizer": mostly(st.sampled_from(["lbfgs", "adam"]), "newton", None, 7),
    "seed": mostly(st.sampled_from([0, 5, 2**32 - 1]), -1, 0.5, None),
    "coarse_to_fine": st.booleans(),
}
seen = {"painted": 0, "refused": 0}


@settings(max_examples=RUNS, deadline=None, suppress_health_check=list(HealthCheck))
@given(arguments=st.fixed_dictionaries(ARGUMENTS))
def try_arguments(vgg16, content, arguments):
    style = np.full((20, 20, 3), 0.3)
    try:
        image, history = transfer_style(content, style, vgg16=vgg16, verbose=0, **arguments)
    except (ValueError, FileNotFoundError, MemoryError) as error:
        refusal = str(error)
    else:
        refusal = None
    seen["refused" if refusal else "painted"] += 1
    if refusal:
        assert len(refusal.splitlines()) == 1
        assert refusal.endswith((".", ")."))
        return
    size = arguments["size"]
    assert image.shape == (1, round(43 * size / 64), size, 3)
    assert np.isfinite(image).all()
    assert 0 <= np.min(image) <= np.max(image) <= 1
    assert history.params["stopped"] in (None, "diverged")
    assert all(np.isfinite(values).all() for values in history.history.values())


@pytest.mark.filterwarnings("ignore:The total loss became")
def test_any_arguments_are_painted_or_refused_in_one_sentence(vgg16, content):
    try_arguments(vgg16, content)
    assert min(seen.values()) > RUNS // 20  # both ways are really tried
