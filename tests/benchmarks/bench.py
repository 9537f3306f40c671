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

from nst_keras import (
    FeatureExtractor,
    Recipe,
    StopTransfer,
    Style,
    load_image,
    load_vgg16,
    make_objective,
    save_image,
    transfer_style,
)
from nst_keras._tensorflow import keras, tf
from nst_keras.descent import gradient_of, steps_of
from nst_keras.images import resize_image
from nst_keras.plotting import plot_images, plt
from nst_keras.recipe import CONTENT_LAYERS, STYLE_LAYERS

CONTENT, STYLE = "summer_palace", "great_wave"
POLICIES = "float32", "mixed_bfloat16"


class Enough(Exception):
    """Raised by a report to end a run."""


class Clock:
    """Collects (seconds, loss) at every report, from the first one on, and ends the run when it has enough."""

    def __init__(self, target=-np.inf, seconds=np.inf, steps=np.inf, exact=None):
        self.target, self.seconds, self.steps, self.exact = target, seconds, steps, exact
        self.curve, self.best = [], np.inf

    def __call__(self, loss, image):
        now = time.perf_counter()
        self.start = now if not self.curve else self.start  # the first step, which compiles, is counted apart
        self.curve.append((now - self.start, loss))
        if loss <= self.target and self.exact:  # in 32 bits; what this takes does not count
            loss = self.exact(image)
            self.start += time.perf_counter() - now
        if loss < self.best or loss <= self.target:
            self.best, self.image = loss, image
        if loss <= self.target or now - self.start > self.seconds or len(self.curve) > self.steps:
            raise Enough

    @property
    def step_seconds(self):
        return median(np.diff([seconds for seconds, _ in self.curve]))


def run_recipe(recipe, extractor, content, style, clock):
    with suppress(Enough):
        # One more, for the loss after so many steps is reported by the next.
        recipe.run(extractor, content, style, recipe.steps + 1, clock)
    return clock


def run_package(recipe, extractor, content, style, optimizer, steps, clock):
    """An optimizer of this package on the objective of the recipe; every evaluation counts, also those it rejects."""
    objective = recipe.objective(extractor, content, style)
    evaluate = gradient_of(lambda image: {"total_loss": objective(image)})

    def counted(image):
        losses, gradient = evaluate(image)
        clock(losses["total_loss"], image)
        return losses, gradient

    if optimizer == "adam":
        rate = keras.optimizers.schedules.CosineDecay(0.07, steps)
        optimizer = keras.optimizers.Adam(rate, beta_1=0.95, beta_2=0.8)
    with suppress(Enough):
        for _ in steps_of(optimizer, counted, content, steps):
            pass
    return clock


def extractor_of(recipe, policy):
    keras.config.set_dtype_policy(policy)
    extractor = FeatureExtractor((*recipes.STYLE_LAYERS, recipe.content_layer))
    keras.config.set_dtype_policy("float32")
    return extractor


def step_seconds(recipe, extractors, pictures, plan, rounds):
    """[(a step of the recipe, a step of this package)], measured side by side."""
    theirs, ours = extractors
    return [
        (
            run_recipe(recipe, theirs, *pictures, Clock(steps=5)).step_seconds,
            run_package(recipe, ours, *pictures, *plan, Clock(steps=5)).step_seconds,
        )
        for _ in range(rounds)
    ]


def compare(recipe, pixels, seconds, rounds, folder):
    """The rows of a recipe, one for each precision of this package, and the curves."""
    content, style = load_image(CONTENT), load_image(STYLE)
    shorter, longer = sorted(content.shape[1:3])
    scale = (pixels or recipe.pixels) / (longer if recipe.side == "longer" else shorter)
    shape = [round(side * scale) for side in content.shape[1:3]]
    pictures = resize_image(content, shape), resize_image(style, shape)
    extractors = {policy: extractor_of(recipe, policy) for policy in POLICIES}
    full = extractors["float32"]
    loss_of = recipe.objective(full, *pictures)

    theirs = run_recipe(recipe, full, *pictures, Clock(seconds=seconds, steps=recipe.measured))
    their_steps = [loss for _, loss in theirs.curve].index(theirs.best)
    curves, final = {recipe.name: theirs.curve}, {recipe.name: theirs.image}
    plan = "lbfgs", recipe.steps
    if recipe.optimizer == "adam" and their_steps > recipe.steps // 2:  # in a short run L-BFGS gets further
        plan = "adam", 2 * their_steps // 5
    rows = []
    for policy, extractor in extractors.items():
        exact = None if policy == "float32" else lambda image: float(loss_of(image))
        clock = Clock(target=theirs.best, seconds=theirs.curve[-1][0], exact=exact)
        ours = run_package(recipe, extractor, *pictures, *plan, clock)
        our_steps = max(1, len(ours.curve) - 1)  # 0 where the recipe got no lower than its start
        # Every run takes the same steps; what they cost is the median of several measurements.
        ratios = [
            their_steps * their_step / (our_steps * our_step)
            for their_step, our_step in step_seconds(recipe, (full, extractor), pictures, plan, rounds)
        ]
        above = float(loss_of(ours.image)) / theirs.best - 1
        cells = (
            recipe.name,
            f"{shape[1]}×{shape[0]}",
            f"{their_steps} of {recipe.steps}",
            f"{theirs.curve[their_steps][0]:.0f}",
            policy,
            our_steps,
            f"{ours.curve[-1][0]:.1f}",
            f"{median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
            # 1e-4 is the rounding of two programs for one formula.
            + (f", but only to a loss {above:.1%} higher" if above > 1e-4 else ""),
        )
        rows.append("".join(f"| {cell} " for cell in cells) + "|")
        curves[f"nst-keras, {policy}"], final[f"nst-keras, {policy}"] = ours.curve, ours.image
    final = {name: tf.clip_by_value(image, 0.0, 1.0) for name, image in final.items()}
    plot_images(final, height=4).savefig(folder / f"{recipe.name.replace(' ', '_').lower()}.png", dpi=100)
    return rows, curves


def step_ratio(size, pairs=7):
    """A step, against its convolutions there and back: twice the forward ones. Median of paired measurements."""
    content, style = load_image(CONTENT, size), load_image(STYLE, size)
    extractor = FeatureExtractor(CONTENT_LAYERS + STYLE_LAYERS)
    evaluate = gradient_of(make_objective(extractor, content, style))
    convolutions = [layer for layer in extractor.model.layers if "conv" in layer.name]
    inputs = keras.Model(extractor.model.input, [layer.input for layer in convolutions])(content * 255.0 - 120.0)

    @tf.function
    def forwards():
        return [tf.nn.conv2d(x, layer.kernel, 1, "SAME") for x, layer in zip(inputs, convolutions, strict=True)]

    forwards(), evaluate(content)  # compiles
    return median(seconds_of(evaluate, content) / (2 * seconds_of(forwards)) for _ in range(pairs))


def styles_ratios(size, pairs=7):
    """What the step of a blend, and of two regions, costs beside one with a single style, {what: times}."""
    content, *styles = (load_image(name, size) for name in (CONTENT, STYLE, "poppies"))
    masks = [load_image(f"{CONTENT}_{part}", size) for part in ("sky", "ground")]
    extractor = FeatureExtractor(CONTENT_LAYERS + STYLE_LAYERS)
    single = gradient_of(make_objective(extractor, content, styles[0]))
    regions = [Style(style, region=mask) for style, mask in zip(styles, masks, strict=True)]
    ratios = {}
    for what, several in (("a blend of two", styles), ("two regions", regions)):
        evaluate = gradient_of(make_objective(extractor, content, several))
        single(content), evaluate(content)  # compiles
        ratios[what] = median(seconds_of(evaluate, content) / seconds_of(single, content) for _ in range(pairs))
    return ratios


def seconds_of(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


# 11 steps fill the memory of L-BFGS.
PAINT = """
import sys
import keras
from nst_keras import transfer_style
keras.config.set_dtype_policy(sys.argv[4])
transfer_style(*sys.argv[1:3], size=int(sys.argv[3]), steps=11, coarse_to_fine=False, verbose=0)
"""


def peak_memory(size, policy):
    """The most that a fresh process holds while it paints, in bytes."""
    painter = psutil.Popen([sys.executable, "-c", PAINT, CONTENT, STYLE, str(size), policy])
    peak, deadline = 0, time.monotonic() + 3600
    while painter.poll() is None:
        with suppress(psutil.Error):  # it may end between two questions
            peak = max(peak, painter.memory_info().rss)
        if time.monotonic() > deadline:
            painter.kill()
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
    return map(float, subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout.split())


def noise_level(image):
    """Immerkær (1996): the mean response to a mask that is blind to edges; white noise of deviation σ gives σ."""
    mask = np.outer([1, -2, 1], [1, -2, 1])
    grey = np.mean(image[0], axis=-1)
    return float(np.sqrt(np.pi / 2) * np.mean(np.abs(convolve2d(grey, mask, mode="valid"))) / 6)


def confetti(image):
    """Coloured dots: how much red − green and blue − green differ from one pixel to the next, in grey levels."""
    red, green, blue = 255 * np.moveaxis(np.asarray(image[0]), -1, 0)
    return float(np.mean(np.abs(np.diff([red - green, blue - green]))))


def from_noise(size, steps, folder):
    """Coarse to fine, and one size for as many seconds: two rows."""
    vgg16 = load_vgg16()
    rows, seconds = [], np.inf
    for name, coarse_to_fine in (("coarse to fine", True), ("one size", False)):
        start = time.perf_counter()

        def stop_in_time(step, losses, image, start=start, seconds=seconds):
            if time.perf_counter() - start > seconds:
                raise StopTransfer

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
            f"| {noise_level(image):.3f} | {confetti(image):.1f} |"
        )
    return rows


def plot_curves(curves):
    figure, axes = plt.subplots(1, len(curves), figsize=(4 * len(curves), 3.4), layout="constrained", squeeze=False)
    for ax, (recipe, lines) in zip(axes[0], curves.items(), strict=True):
        for curve in lines.values():
            ax.plot(*zip(*curve[1:], strict=True))
        ax.set(xscale="log", yscale="log", xlabel="seconds after the first step", title=recipe)
    axes[0][0].set_ylabel("loss")
    figure.legend(ax.lines, ["the recipe", *list(lines)[1:]], loc="outside lower center", ncols=len(lines))
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the tables, the plot and the pictures go")
    parser.add_argument("--quick", action="store_true", help="at most five minutes: every row, less of each")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    sizes = dict(seconds=25, rounds=1, step_sizes=(256,), memories=(256,), size=128, steps=100)
    if not options.quick:
        sizes = dict(seconds=np.inf, rounds=3, step_sizes=(256, 512, 1024), memories=(512, 1024, 2048))
        sizes |= dict(size=Recipe.size, steps=Recipe.steps)
    measure(options.folder, **sizes)


def measure(folder, *, seconds, rounds, step_sizes, memories, size, steps, pixels=None):
    """Measure every row, print each as it comes, and save tables, plot and pictures."""
    lines, curves = [], {}

    def say(*rows):
        lines.extend(rows)
        print(*rows, sep="\n", flush=True)

    say("| recipe | pixels | its steps | s | we compute in | our steps | s | times faster (paired: median, range) |")
    say("|" + "---|" * 8)
    for recipe in recipes.RECIPES:
        try:
            rows, curves[recipe.name] = compare(recipe, pixels, seconds, rounds, folder)
        except ModuleNotFoundError as error:
            rows = [f"| {recipe.name} | left out: {error.name} is not installed |||||||"]
        say(*rows)
    plot_curves(curves).savefig(folder / "speed.png", dpi=100)
    say("", "| a step costs, longer side | times its convolutions, there and back |", "|---|---|")
    for side in step_sizes:
        say(f"| {side} | {step_ratio(side):.2f} |")
    say("", f"| a step at {step_sizes[0]} pixels | times one with a single style |", "|---|---|")
    say(*(f"| {what} | {times:.2f} |" for what, times in styles_ratios(step_sizes[0]).items()))
    say("", f"| peak memory, GB: longer side | {' | '.join(POLICIES)} |", "|---|---|---|")
    for side in memories:
        say(f"| {side} | {' | '.join(f'{peak_memory(side, policy) / 1e9:.2f}' for policy in POLICIES)} |")
    say("", "| start-up | s |", "|---|---|")
    names = ("import", "load VGG16, targets, first step", "a step after that")
    for name, value in zip(names, start_up(size), strict=True):
        say(f"| {name} | {value:.2f} |")
    say(
        "",
        "| from noise | s | steps | total loss | noise | confetti |",
        "|" + "---|" * 6,
        *from_noise(size, steps, folder),
    )
    (folder / "speed.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
