"""How much memory a picture needs, and how much there is."""

from contextlib import suppress
from itertools import product
from math import prod, sqrt
from pathlib import Path
from typing import NamedTuple

import psutil

from nst_keras.pictures import SIZE
from nst_keras.recipe import HISTORY, MARGIN, TILE

# Peak bytes per pixel, by bytes per number in VGG16: what it keeps for the gradient, and L-BFGS's recent steps.
# Measured at 1024×683 and 2048×1367 pixels in 16 and 32 bits; for 64 bits twice that.
BYTES_PER_PIXEL = {2: 2300, 4: 2700, 8: 5400}
# In tiles only a tile has features. Per pixel of the whole: what a step of L-BFGS remembers, two images of three
# float32 each, and the image, its gradient, what L-BFGS makes of them, and the content's features at block4_conv2.
REMEMBERED_BYTES, IMAGE_BYTES = 24, 240
LEAST_HISTORY = 3
# With what it sees around its own, a tile of 256 pixels computes twice its area, a smaller one more. Where memory is
# that short, L-BFGS rather remembers less.
GOOD_TILE = 256


class Plan(NamedTuple):
    """How a picture is computed: the side of a tile in pixels, how many steps L-BFGS remembers, and why."""

    tile: int
    history: int
    why: str


WHOLE = Plan(SIZE.highest, HISTORY, "")


def plan_memory(height, width, extractor, tile):
    """Whole, or in tiles, so that it fits into the free memory; see `Recipe`.

    Raises:
        MemoryError: if it fits in no way; the message names the size that would.
    """
    area, free = (height + 2 * MARGIN) * (width + 2 * MARGIN), free_memory()
    feature_bytes = BYTES_PER_PIXEL[extractor.number_bytes]
    needed = feature_bytes * area
    why = f"{width}×{height} pixels need about {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free"
    if tile == "auto" and needed <= free:
        return WHOLE
    for least, history in product((GOOD_TILE, TILE.lowest), range(HISTORY, LEAST_HISTORY - 1, -1)):
        left = max(0, free - (IMAGE_BYTES + history * REMEMBERED_BYTES) * area)
        if tile == "auto":
            largest = int(sqrt(left / feature_bytes)) - 2 * extractor.reach
            if largest >= least:
                return Plan(largest, history, f"{why}: ")
        else:
            seen = (min(side + 2 * MARGIN, tile + 2 * extractor.reach) for side in (height, width))
            if feature_bytes * prod(seen) <= left:
                return Plan(tile, history, "")
    least_bytes = feature_bytes * (TILE.lowest + 2 * extractor.reach) ** 2
    in_tiles = max(0, free - least_bytes) / ((IMAGE_BYTES + LEAST_HISTORY * REMEMBERED_BYTES) * area)
    # The margin stays as wide in a smaller picture, and its shorter side may be rounded up.
    shorter, longer = sorted((height, width))
    scale = ((shorter + 2 * MARGIN) * sqrt(max(in_tiles, free / needed)) - 2 * MARGIN - 0.5) / shorter
    fits = min(longer, max(0, int(longer * scale)))
    tiles, in_those = ("the smallest tiles", "") if tile == "auto" else (f"tiles of {tile} pixels", " with tile='auto'")
    raise MemoryError(f"{why}: too little even for {tiles}. size={fits}{in_those} would fit.")


def free_memory(root="/"):
    """Bytes that this process can still take: the least of what the machine, its container and `ulimit -v` leave."""
    return max(0, min([psutil.virtual_memory().available, *_left_in_groups(Path(root)), *_left_in_address_space()]))


def _left_in_groups(root):
    """What every control group that this process is in leaves, version 1 or 2: limit − use, without the file cache."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            mount = root / "sys/fs/cgroup"
            if not controllers:
                names = "memory.max", "memory.current", "inactive_file"
            elif "memory" in controllers.split(","):
                mount = mount / "memory"
                names = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
            else:
                continue
            group = mount / path.lstrip("/")
            # The limits of the groups above hold too. In a container the path may be one of the host's: then only
            # the mount itself is there to be read.
            above = [folder for folder in (group, *group.parents) if folder.is_relative_to(mount)]
            for folder in above if group.is_dir() else [mount]:
                yield from _left_in_group(folder, *names)


def _left_in_group(folder, limit, use, cache):
    with suppress(OSError, ValueError):  # no such file, or the limit "max"
        limit, use = (int((folder / name).read_text()) for name in (limit, use))
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        yield limit - use + int(stat.get(cache, 0))


def _left_in_address_space():
    with suppress(ImportError):  # Windows has no such limit
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            yield limit - psutil.Process().memory_info().vms
