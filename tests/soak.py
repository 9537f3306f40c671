"""`make soak`: 100 pictures in one process; the memory at the end is that after the first ten."""

import os
import sys

import psutil

from nst_keras import transfer_style

RUNS, WARM_UP, GROWTH = int(os.environ.get("SOAK_RUNS", "100")), 10, 1.10

process = psutil.Process()
megabytes = []
for run in range(RUNS):
    transfer_style("cat", "poppies", size=64, steps=3, seed=run, verbose=0)
    megabytes.append(process.memory_info().rss / 1e6)
    if (run + 1) % 10 == 0:
        print(f"{run + 1} pictures: {megabytes[-1]:.0f} MB", flush=True)
sys.exit(megabytes[-1] > GROWTH * megabytes[WARM_UP - 1])
