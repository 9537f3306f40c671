"""Paint the pictures of the README and of notebook 1 into data/.

Run from the top of the project: python notebooks/gallery.py [folder [poster]]. The single results are kept in the
folder (build/gallery), and those that lie there are not painted again: after Ctrl-C or a change of the layout it goes
on. With "poster" it paints the poster alone.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image, ImageOps

from nst_keras import Style, keep_colours, load_image, save_image, to_pil, transfer_style
from nst_keras.plotting import plot_images

PAIRS = (
    ("summer_palace", "great_wave"),
    ("cat", "village_street_in_auvers"),
    ("summer_palace", "poppies"),
    ("coffee", "moulin_de_la_galette"),
)
WIDTH, HEIGHT = 400, 266  # of a result
SMALL, GAP, SPACE = 131, 4, 12  # side of a photo or painting, white between them, white between the four groups

REGIONS = [
    Style("great_wave", region="summer_palace_sky"),
    Style("moulin_de_la_galette", region="summer_palace_ground"),
]
STYLES = {  # file: (title, photo, styles)
    "blend": ("two parts wave, one part poppies", "summer_palace", {"great_wave": 2, "poppies": 1}),
    "regions": ("a sky by Hokusai, all else by Renoir", "summer_palace", REGIONS),
    "colours": ("the wave, in the photo's own colours", "summer_palace", "great_wave"),
    "strokes_half": ("Van Gogh, strokes of half the size", "cat", Style("village_street_in_auvers", scale=0.5)),
    "strokes_one": ("scale 1", "cat", "village_street_in_auvers"),
    "strokes_two": ("scale 2", "cat", Style("village_street_in_auvers", scale=2)),
}
STYLES_WIDTH = 320
POSTER_WIDTH, PIECE = 2048, (460, 60, 1060, 460)  # left, top, right, bottom


def painted(path, content, style, size):
    """The result with the default recipe, painted unless it is there."""
    if not path.exists():
        print(path.stem)
        image, history = transfer_style(content, style, size=size)
        if history.params["stopped"]:
            sys.exit(f"Stopped; what is finished lies in {path.parent}.")
        save_image(path, image)
    return load_image(path)


def pairs(folder):
    """Four results on one white sheet, two by two, each beside its photo and its painting."""
    columns, rows = SMALL + GAP + WIDTH, HEIGHT
    page = Image.new("RGB", (2 * columns + SPACE, 2 * rows + SPACE), "white")
    for number, (content, style) in enumerate(PAIRS):
        left, top = number % 2 * (columns + SPACE), number // 2 * (rows + SPACE)
        for place, name in enumerate((content, style)):
            small = ImageOps.fit(to_pil(load_image(name)), (SMALL, SMALL))
            page.paste(small, (left, top + place * (SMALL + GAP)))
        result = painted(folder / f"{content}_{style}.png", content, style, WIDTH)
        page.paste(ImageOps.fit(to_pil(result), (WIDTH, HEIGHT)), (left + SMALL + GAP, top))
    return page


def styles(folder):
    """A blend, regions, the photo's own colours; below them three sizes of strokes."""
    images = {
        name: painted(folder / f"{name}.png", photo, style, STYLES_WIDTH) for name, (_, photo, style) in STYLES.items()
    }
    images["colours"] = keep_colours(images["colours"], "summer_palace")
    figure, axes = plt.subplots(2, 3, figsize=(10.4, 5.2), layout="constrained")
    plot_images(list(images.values()), [title for title, _, _ in STYLES.values()], axes=axes.flat)
    return figure


def poster(folder):
    """The first pair, large: the whole of it made small, and beside it a piece, pixel by pixel."""
    result = to_pil(painted(folder / "poster.png", *PAIRS[0], POSTER_WIDTH))
    piece = result.crop(PIECE)
    page = Image.new("RGB", (2 * piece.width + SPACE, piece.height), "white")
    page.paste(ImageOps.fit(result, piece.size), (0, 0))
    page.paste(piece, (piece.width + SPACE, 0))
    return page


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/gallery")
    folder.mkdir(parents=True, exist_ok=True)
    if "poster" in sys.argv[2:]:
        poster(folder).save("data/poster.jpg", quality=92)
        print("Painted data/poster.jpg.")
    else:
        pairs(folder).save("data/gallery.jpg", quality=92)
        styles(folder).savefig("data/styles.jpg", dpi=100, pil_kwargs={"quality": 92})
        opening = "summer_palace_great_wave"
        save_image(f"data/generated/{opening}.jpg", painted(folder / f"{opening}_640.png", *PAIRS[0], 640))
        print("Painted data/gallery.jpg, data/styles.jpg, data/generated/.")
