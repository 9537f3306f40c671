"""How long do recipes that people use today need, and how long this package for the same loss?

Usage: python tests/benchmarks/bench.py FOLDER [--quick]

Everything is measured in one run on one machine, with the same pictures and network. The tables go to
FOLDER/speed.md and the loss curves to FOLDER/speed.png.
"""

import argparse
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from statistics import median

import numpy as np
import psutil
import recipes
from scipy.signal import convolve2d

from nst_keras import FeatureExtractor, load_image, load_vgg16, save_image, training, transfer_style
from nst_keras._tensorflow import tf
from nst_keras.images import resize_image
from nst_keras.plotting import plt

CONTENT, STYLE = "summer_palace", "great_wave"


class Enough(Exception):
    """Raised by a report to end a run."""


class Clock:
    """Collects (seconds, loss) at every report, from the first one on, and ends the run when it has enough."""

    def __init__(self, target=-np.inf, seconds=np.inf, steps=np.inf):
        self.target, self.seconds, self.steps = target, seconds, steps
        self.curve = []

    def __call__(self, loss):
        now = time.perf_counter()
        self.start = now if not self.curve else self.start  # the first step, which compiles, is counted apart
        self.curve.append((now - self.start, loss))
        if loss <= self.target or now - self.start > self.seconds or len(self.curve) > self.steps:
            raise Enough

    @property
    def step_seconds(self):
        return median(np.diff([seconds for seconds, _ in self.curve]))


def run_recipe(recipe, extractor, content, style, clock):
    with suppress(Enough):
        recipe.run(extractor, content, style, recipe.steps, clock)
    return clock


def run_package(recipe, extractor, content, style, clock):
    """L-BFGS of this package on the objective of the recipe; every evaluation counts, also those it rejects."""
    objective = recipe.objective(extractor, content, style)
    evaluate = training._evaluator(lambda image: {"total_loss": objective(image)})

    def counted(image):
        losses, gradient = evaluate(image)
        clock(losses["total_loss"])
        return losses, gradient

    with suppress(Enough):
        training._minimise_lbfgs(counted, content, recipe.steps, lambda image, losses: None)
    return clock


def compare(recipe, pixels, seconds, rounds):
    """One row of the table of recipes, and the two curves."""
    content, style = load_image(CONTENT), load_image(STYLE)
    shorter, longer = sorted(content.shape[1:3])
    scale = (pixels or recipe.pixels) / (longer if recipe.side == "longer" else shorter)
    shape = [round(side * scale) for side in content.shape[1:3]]
    content, style = resize_image(content, shape), resize_image(style, shape)
    extractor = FeatureExtractor((*recipes.STYLE_LAYERS, recipe.content_layer))
    pictures = extractor, content, style

    theirs = run_recipe(recipe, *pictures, Clock(seconds=seconds))
    best = min(loss for _, loss in theirs.curve)
    their_steps = next(step for step, (_, loss) in enumerate(theirs.curve) if loss == best)
    # What this package does not reach in twice the time, it does not reach: then the row says so.
    ours = run_package(recipe, *pictures, Clock(target=best, seconds=2 * theirs.curve[-1][0]))
    our_steps = len(ours.curve) - 1
    ratios = []
    for _ in range(rounds):  # the steps are the same in every run, what they cost is measured side by side
        their_step = run_recipe(recipe, *pictures, Clock(steps=5)).step_seconds
        our_step = run_package(recipe, *pictures, Clock(steps=5)).step_seconds
        ratios.append(their_steps * their_step / (our_steps * our_step))
    cells = (
        recipe.name,
        f"{shape[1]}×{shape[0]}",
        f"{their_steps} of {recipe.steps}",
        f"{theirs.curve[their_steps][0]:.0f}",
        our_steps,
        f"{ours.curve[-1][0]:.1f}",
        f"{median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})",
    )
    row = "".join(f"| {cell} " for cell in cells) + "|"
    if ours.curve[-1][1] > best:
        row = row[:-1] + f", but only to a loss {ours.curve[-1][1] / best - 1:.1%} higher |"
    return row, theirs.curve, ours.curve


def floor_ratio(size, pairs=7):
    """A step, against a matrix product with as many multiplications: median of paired measurements."""
    content, style = load_image(CONTENT, size), load_image(STYLE, size)
    extractor = FeatureExtractor(training.CONTENT_LAYERS + training.STYLE_LAYERS)
    evaluate = training._evaluator(training.make_objective(extractor, content, style))
    products = 0
    for name, features in FeatureExtractor([layer.name for layer in extractor.model.layers if "conv" in layer.name])(
        content
    ).items():
        positions = np.prod(features.shape[1:3])
        products += positions * np.prod(extractor.model.get_layer(name).kernel.shape)
        products += positions * features.shape[-1] ** 2 * (name in training.STYLE_LAYERS)
    products *= 2  # forwards, and backwards to the pixels
    side = 2048
    matrix = tf.random.stateless_normal((side, side), seed=(0, 0))
    multiply = tf.function(lambda: tf.matmul(matrix, matrix))
    repeats = max(1, round(products / side**3))

    def seconds(function):
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    seconds(multiply), seconds(lambda: evaluate(content))
    ratios = []
    for _ in range(pairs):
        step = seconds(lambda: evaluate(content))
        floor = seconds(lambda: [multiply() for _ in range(repeats)]) / repeats * products / side**3
        ratios.append(step / floor)
    return median(ratios)


# 11 steps fill the memory of L-BFGS.
PAINT = """
import sys
from nst_keras import transfer_style
transfer_style(*sys.argv[1:3], size=int(sys.argv[3]), steps=11, coarse_to_fine=False, verbose=0)
"""


def peak_memory(size):
    """The most that a fresh process holds while it paints, in bytes."""
    painter = psutil.Popen([sys.executable, "-c", PAINT, CONTENT, STYLE, str(size)])
    peak = 0
    while painter.poll() is None:
        with suppress(psutil.Error):  # it may end between two questions
            peak = max(peak, painter.memory_info().rss)
        time.sleep(0.05)
    if painter.returncode:
        raise RuntimeError(f"Painting {size} pixels failed with status {painter.returncode}.")
    return peak


START_UP = """
import sys, time
start = time.perf_counter()
import nst_keras
nst_keras.transfer_style
imported = time.perf_counter()
times = []
nst_keras.transfer_style(*sys.argv[1:3], size=int(sys.argv[3]), steps=2, coarse_to_fine=False, verbose=0,
    callbacks=[lambda step, losses, image: times.append(time.perf_counter())])
print(imported - start, times[0] - imported, times[1] - times[0])
"""


def start_up(size):
    """Seconds of the import, of all up to the first step, and of the second, in a fresh process."""
    command = [sys.executable, "-c", START_UP, CONTENT, STYLE, str(size)]
    return map(float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def noise_level(image):
    """Immerkær (1996): the mean response to a mask that is blind to edges; white noise of deviation σ gives σ."""
    mask = np.outer([1, -2, 1], [1, -2, 1])
    grey = np.mean(image[0], axis=-1)
    return float(np.sqrt(np.pi / 2) * np.mean(np.abs(convolve2d(grey, mask, mode="valid"))) / 6)


def from_noise(size, steps, folder):
    """Coarse to fine, and one size for as many seconds: two rows."""
    vgg16 = load_vgg16()
    rows, seconds = [], np.inf
    for name, coarse_to_fine in (("coarse to fine", True), ("one size", False)):
        start = time.perf_counter()

        def stop_in_time(step, losses, image, start=start, seconds=seconds):
            if time.perf_counter() - start > seconds:
                raise KeyboardInterrupt

        image, history = transfer_style(
            CONTENT,
            STYLE,
            size=size,
            steps=steps if coarse_to_fine else 100 * steps,
            coarse_to_fine=coarse_to_fine,
            callbacks=[stop_in_time],
            verbose=0,
            vgg16=vgg16,
        )
        seconds = time.perf_counter() - start
        save_image(folder / f"from_noise_{name.replace(' ', '_')}.png", image)
        rows.append(
            f"| {name} | {seconds:.0f} | {len(history.epoch)} | {history.history['total_loss'][-1]:.3g} "
            f"| {noise_level(image):.3f} |"
        )
    return rows


def plot_curves(curves):
    figure, axes = plt.subplots(1, len(curves), figsize=(4 * len(curves), 3.4), layout="constrained", squeeze=False)
    for ax, (name, (theirs, ours)) in zip(axes[0], curves.items(), strict=True):
        for curve, label in ((theirs, name), (ours, "nst-keras")):
            ax.plot(*zip(*curve[1:], strict=True), label=label)
        ax.set(xscale="log", yscale="log", xlabel="seconds after the first step", title=f"Loss of the {name}")
        ax.legend()
    axes[0][0].set_ylabel("loss")
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the tables, the plot and the pictures go")
    parser.add_argument("--quick", action="store_true", help="at most five minutes: every row, less of each")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    sizes = dict(seconds=25, rounds=1, floors=(256,), memories=(256,), size=128, steps=100)
    if not options.quick:
        sizes = dict(seconds=480, rounds=5, floors=(256, 512, 1024), memories=(512, 1024, 2048), size=400, steps=400)
    measure(options.folder, **sizes)


def measure(folder, *, seconds, rounds, floors, memories, size, steps, pixels=None):
    """Measure every row, print each as it comes, and save tables, plot and pictures."""
    lines, curves = [], {}

    def say(*rows):
        lines.extend(rows)
        print(*rows, sep="\n", flush=True)

    say("| recipe | pixels | its steps | s | our steps | s | times faster (paired: median, range) |", "|" + "---|" * 7)
    for recipe in recipes.RECIPES:
        try:
            row, *curves[recipe.name] = compare(recipe, pixels, seconds, rounds)
        except ModuleNotFoundError as error:
            row = f"| {recipe.name} | left out: {error.name} is not installed |||||"
        say(row)
    curves = {name: pair for name, pair in curves.items() if pair}
    plot_curves(curves).savefig(folder / "speed.png", dpi=100)
    say("", "| a step costs, longer side | matrix products of as many operations |", "|---|---|")
    for side in floors:
        say(f"| {side} | {floor_ratio(side):.2f} |")
    say("", "| longer side | peak memory, GB |", "|---|---|")
    for side in memories:
        say(f"| {side} | {peak_memory(side) / 1e9:.2f} |")
    say("", "| start-up | s |", "|---|---|")
    names = ("import", "load VGG16, targets, first step", "a step after that")
    for name, value in zip(names, start_up(size), strict=True):
        say(f"| {name} | {value:.2f} |")
    say(
        "", "| from noise | s | steps | total loss | noise |", "|---|---|---|---|---|", *from_noise(size, steps, folder)
    )
    (folder / "speed.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
