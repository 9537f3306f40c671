"""Paint the opening picture of the README into data/: four results, each beside its photograph and its painting.

Run from the top of the project: python notebooks/gallery.py [folder]. The single results are kept in the folder
(build/gallery), and those that lie there are not painted again: after Ctrl-C or a change of the layout it goes on.
"""

import sys
from pathlib import Path

from PIL import Image, ImageOps

from nst_keras import load_image, save_image, to_pil, transfer_style

PAIRS = (
    ("summer_palace", "great_wave"),
    ("cat", "village_street_in_auvers"),
    ("summer_palace", "poppies"),
    ("coffee", "moulin_de_la_galette"),
)
WIDTH, HEIGHT = 400, 266  # of a result
SMALL, GAP, SPACE = 131, 4, 12  # side of a photo or painting, white between them, white between the four groups


def painted(content, style, folder):
    """The result with the default recipe, painted unless it is there."""
    path = folder / f"{content}_{style}.png"
    if not path.exists():
        print(f"{content} + {style}")
        image, history = transfer_style(content, style, size=WIDTH)
        if history.params["stopped"]:
            sys.exit(f"Stopped; what is finished lies in {folder}.")
        save_image(path, image)
    with Image.open(path) as picture:
        return picture.convert("RGB")


def sheet(folder):
    """All of them on one white sheet, two by two."""
    columns, rows = SMALL + GAP + WIDTH, HEIGHT
    page = Image.new("RGB", (2 * columns + SPACE, 2 * rows + SPACE), "white")
    for number, (content, style) in enumerate(PAIRS):
        left, top = number % 2 * (columns + SPACE), number // 2 * (rows + SPACE)
        for place, name in enumerate((content, style)):
            small = ImageOps.fit(to_pil(load_image(name)), (SMALL, SMALL))
            page.paste(small, (left, top + place * (SMALL + GAP)))
        result = ImageOps.fit(painted(content, style, folder), (WIDTH, HEIGHT))
        page.paste(result, (left + SMALL + GAP, top))
    return page


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/gallery")
    folder.mkdir(parents=True, exist_ok=True)
    sheet(folder).save("data/gallery.jpg", quality=92)
    print("data/gallery.jpg")
