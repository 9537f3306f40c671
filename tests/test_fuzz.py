"""Mutated image files: every one is either loaded correctly or refused in one sentence. `make fuzz` tries 10 000."""

import io
import os
import random

import numpy as np
import pytest
from PIL import Image, features

from nst_keras import load_image

FILES = int(os.environ.get("FUZZ_FILES", "300"))


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
