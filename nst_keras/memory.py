"""How much memory a picture needs, and how much there is."""

from contextlib import suppress
from pathlib import Path

import psutil

from nst_keras.recipe import MARGIN

# Peak bytes per pixel, by bytes per number in VGG16: what it keeps for the gradient, and L-BFGS's recent steps.
# Measured at 1024×683 and 2048×1367 pixels in 16 and 32 bits; for 64 bits twice that.
BYTES_PER_PIXEL = {2: 2300, 4: 2700, 8: 5400}


def check_memory(height, width, number_bytes):
    """Refuse a picture that needs more memory than is free; the message names the size that would fit."""
    needed = BYTES_PER_PIXEL[number_bytes] * (height + 2 * MARGIN) * (width + 2 * MARGIN)
    free = free_memory()
    if needed > free:
        largest = int(max(height, width) * (free / needed) ** 0.5)
        raise MemoryError(
            f"A picture of {width}×{height} pixels needs about {needed / 1e9:.1f} GB of memory, and "
            f"{free / 1e9:.1f} GB are free. size={largest} would fit."
        )


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
