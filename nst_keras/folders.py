"""Folders of photos: which pictures are to be painted, and where the results go. Needs no TensorFlow."""

import os
from pathlib import Path

from PIL import Image

from nst_keras.pictures import find_picture


def results_of(names, paintings, folder):
    """{photo: where its result goes}, in the order in which they are painted.

    Args:
        names: list of files, names of bundled pictures, and folders: the pictures in them, sorted by name.
        paintings: list of files and names too; they are no photos, even if they lie in such a folder.
        folder: path of the folder for the results.

    Raises:
        FileNotFoundError, ValueError: if there is no such photo, or if a result would replace another one or a photo.

    Example:
        >>> results = results_of(["cat", "coffee"], ["poppies"], Path("out"))
        >>> {photo.name: result.as_posix() for photo, result in results.items()}
        {'cat.jpg': 'out/cat.png', 'coffee.jpg': 'out/coffee.png'}
    """
    if os.path.isfile(folder):
        raise ValueError(f"{folder} is a file, and several photos need a folder for their results; name one after -o.")
    if folder.suffix.lower() in Image.registered_extensions() and not os.path.isdir(folder):
        raise ValueError(f"{folder} is the name of a picture; with --style, name a folder for the results after -o.")
    results, twins = {}, {}
    for photo in (photo for name in names for photo in _photos_of(name, paintings, folder)):
        result = folder / f"{photo.stem}.png"
        twin = twins.setdefault(result.name.casefold(), photo)  # some systems take A.png and a.png for the same
        if twin not in results:
            results[photo] = result
        elif photo.resolve() != twin.resolve():
            raise ValueError(f"{twin} and {photo} would both become {result}; rename one, or leave it out.")
    return results


def _photos_of(name, paintings, folder):
    """The photo of this name, or the photos in the folder of this name."""
    place = Path(os.path.expanduser(name))
    if not name or not os.path.isdir(place):
        return [find_picture(name)]
    if place.resolve() == folder.resolve():
        raise ValueError(f"{folder} is the folder of the photos; choose another, or results would pass for photos.")
    readable = [ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN]
    no_photos = [find_picture(painting).resolve() for painting in paintings if painting != "-"]
    photos = [
        path
        for path in sorted(place.iterdir())
        if path.suffix.lower() in readable and not path.name.startswith(".") and path.is_file()
        if path.resolve() not in no_photos
    ]
    if not photos:
        raise ValueError(f"There are no photos in the folder {place}: no file whose ending Pillow can read.")
    return photos
