"""A step in tiles on a Dask cluster of two workers on this machine, its bytes and seconds; and without a cluster.

python tests/benchmarks/machines.py 1024 512  # pixels of the longer side, and of a tile
"""

import builtins
import functools
import pickle
import sys
import time

import numpy as np
import psutil
from dask.distributed import Client, LocalCluster

from nst_keras import transfer_style
from nst_keras._tensorflow import tf
from nst_keras.descent import lbfgs


class Counted:
    """An executor that counts what it is given, what it gives back, and how long the workers compute."""

    def __init__(self, executor):
        self.executor, self.passes = executor, []

    def map(self, function, tasks):
        start, what = time.perf_counter(), function.args[1]
        answers = list(self.executor.map(functools.partial(timed, function), tasks))
        all_seconds = time.perf_counter() - start
        seconds, results = zip(*answers, strict=True)
        sent, back = (sum(len(pickle.dumps(one, 5)) for one in some) for some in (tasks, results))
        seen = sum(task[1].shape[1] * task[1].shape[2] for task in tasks)
        self.passes.append((what, len(tasks), seen, sent, back, np.mean(seconds), all_seconds))
        return iter(results)


def timed(function, task):
    start = time.perf_counter()
    result = function(task)
    return time.perf_counter() - start, result


def run(size, tile, workers):
    """One step: two evaluations, before and after it. The first one compiles."""
    knobs = {"size": size, "tile": tile, "steps": 1, "coarse_to_fine": False, "verbose": 0, "workers": workers}
    image, history = transfer_style("summer_palace", "great_wave", **knobs)
    return image.numpy(), history.history["total_loss"][0]


def show(passes):
    print("pass, tiles, pixels seen, MB sent, MB back, seconds a tile (mean), seconds in all")
    for what, tiles, seen, sent, back, seconds, all_seconds in passes:
        print(f"{what:8} {tiles:3} {seen:9} {sent / 1e6:8.1f} {back / 1e6:8.1f} {seconds:7.2f} {all_seconds:7.2f}")


def own_part(height=800, width=1200):
    """Seconds that L-BFGS itself takes for a step when its memory is full: what no worker does."""
    random = np.random.default_rng(0)
    target, weights, image = (tf.constant(random.random((1, height, width, 3), np.float32)) for _ in range(3))

    def evaluate(image):
        away = image - target
        return {"total_loss": float(tf.reduce_sum(weights * away**2))}, 2 * weights * away

    times = [time.perf_counter() for _ in lbfgs(evaluate, image, 14)]
    return np.median(np.diff(times)[-3:])


def main(size=1024, tile=512):
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        counted, before = Counted(client.get_executor(pure=False)), psutil.net_io_counters(pernic=True)["lo"].bytes_sent
        image, losses = run(size, tile, counted)
        wire = psutil.net_io_counters(pernic=True)["lo"].bytes_sent - before
    show(counted.passes)
    payload = sum(sent + back for _, _, _, sent, back, _, _ in counted.passes)
    print(f"{payload / 1e6:.1f} MB of tasks and results, {wire / 1e6:.1f} MB over the loopback")
    here = Counted(builtins)  # the same tasks, one after the other, in this process with all its cores
    alone, losses_alone = run(size, tile, here)
    show(here.passes)
    print(f"L-BFGS itself takes {own_part() / 0.96:.2f} s for a step of a million pixels")
    print(f"largest difference of a pixel {np.abs(image - alone).max()}; losses {losses} and {losses_alone}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
