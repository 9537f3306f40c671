"""Pictures of pictures. Every `plot_` function draws on the given axes (or makes some) and returns the figure."""

import io

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.patches import FancyBboxPatch, Rectangle

from nst_keras.images import to_pil
from nst_keras.pictures import DATA, check_output_path, replacing

# One palette, which colour-blind readers can tell apart (Okabe and Ito, https://jfly.uni-koeln.de/color).
CONTENT, STYLE, GENERATED, NETWORK = "#0072B2", "#D55E00", "#007A5A", "#B07A00"
UNLIT = "#C4C4C4"
# The parts of style transfer, each with what its drawing lights up.
OVERVIEW = {
    "features": ("C", "X", "S", "VGG16", "P", "F", "F of S"),
    "gram": ("F", "F of S", "G", "A"),
    "content": ("C", "X", "VGG16", "P", "F", "content loss"),
    "style": ("X", "S", "VGG16", "F", "F of S", "G", "A", "style loss"),
    "total": ("content loss", "style loss", "total loss"),
    "gradient": ("X", "total loss", "gradient"),
}


def plot_images(images, titles=None, *, axes=None, height=3.0):
    """Show images side by side.

    Args:
        images: list of anything `load_image` takes; or a dictionary {title: image}.
        titles: list of titles, as many as images.
        axes: as many Matplotlib axes; None makes a row of them.
        height: of the row in inches, where axes is None.

    Returns:
        The Matplotlib figure.

    Example:
        >>> figure = plot_images({"content": content, "style": style})
    """
    if isinstance(images, dict):
        images, titles = list(images.values()), list(images)
    pictures = [to_pil(image) for image in images]
    titles = [None] * len(pictures) if titles is None else list(titles)
    if axes is None:
        aspects = [picture.width / picture.height for picture in pictures]
        _, axes = plt.subplots(
            1, len(pictures), figsize=(height * sum(aspects), height), width_ratios=aspects, layout="constrained"
        )
    axes = _as_many(axes, len(pictures), "images")
    if len(titles) != len(pictures):
        raise ValueError(f"There are {len(pictures)} images but {len(titles)} titles.")
    for ax, picture, title in zip(axes, pictures, titles, strict=True):
        ax.imshow(picture)
        ax.set(title=title, xticks=[], yticks=[])
    return axes[0].figure


def plot_feature_maps(features, channels=range(8), *, image=None, axes=None):
    """Show single channels of a feature map: bright where the channel fires, each on a scale of its own.

    Args:
        features: shape (1, height, width, channels).
        channels: numbers of the channels to show.
        image: the image they were computed from, to be shown first; None shows the channels alone.
        axes: as many Matplotlib axes; None makes a grid of up to four in a row.

    Returns:
        The Matplotlib figure.

    Example:
        >>> features = FeatureExtractor("block1_conv1")(content)["block1_conv1"]
        >>> figure = plot_feature_maps(features, channels=[3, 14, 15])
    """
    features, channels = np.asarray(features)[0], list(channels)
    wrong = [channel for channel in channels if not 0 <= channel < features.shape[-1]]
    if wrong or not channels:
        raise ValueError(f"channels must name some of 0 to {features.shape[-1] - 1}, not {wrong or channels}.")
    panels = len(channels) + (image is not None)
    if axes is None:
        columns = min(4, panels)
        rows = -(-panels // columns)
        size = (2.5 * columns, rows * (2.5 * features.shape[0] / features.shape[1] + 0.35))
        _, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
        for ax in axes.flat:
            ax.axis("off")
        axes = axes.flat[:panels]
    axes = _as_many(axes, panels, "panels")
    if image is not None:
        plot_images([image], ["image"], axes=axes[:1])
    for ax, channel in zip(axes[-len(channels) :], channels, strict=True):
        ax.imshow(features[..., channel], cmap="magma")
        ax.set_title(f"channel {channel}")
        ax.axis("off")
    return axes[0].figure


def plot_gram_matrix(gram, *, ax=None, title=None, labels=None):
    """Show a Gram matrix as a heat map, the entries written in where there are few.

    A table with values below zero, as correlations have them, is coloured from blue by white (0) to red.

    Args:
        gram: shape (channels, channels).
        ax: Matplotlib axes; None makes a figure.
        title: above the picture.
        labels: names of the channels.

    Returns:
        The Matplotlib figure.

    Example:
        >>> figure = plot_gram_matrix([[9, 3], [3, 4]], labels=["stripes", "eye"])
    """
    gram = np.asarray(gram)
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1]:
        raise ValueError(f"A Gram matrix has the shape (channels, channels), this has {gram.shape}.")
    if ax is None:
        _, ax = plt.subplots(figsize=(4, 3.4), layout="constrained")
    largest = np.abs(gram).max()
    signed = gram.min() < 0
    picture = ax.imshow(gram, cmap="RdBu_r" if signed else "viridis", vmin=-largest if signed else None)
    picture.norm.vmax = largest
    ax.figure.colorbar(picture, ax=ax)
    ax.set(title=title, xlabel="channel", ylabel="channel")
    if labels is not None:
        ax.set(xticks=range(len(labels)), xticklabels=labels, yticks=range(len(labels)), yticklabels=labels)
    if len(gram) <= 8:
        for (row, column), value in np.ndenumerate(gram):
            dark = abs(value) > 0.6 * largest if signed else picture.norm(value) < 0.6
            colour = "white" if dark else "black"
            ax.text(column, row, f"{value:.4g}", ha="center", va="center", color=colour)
    return ax.figure


def plot_losses(history, *, ax=None):
    """Draw the losses of a run over its steps; a dotted line marks every change of size.

    Args:
        history: what `transfer_style` returns beside the image.
        ax: Matplotlib axes; None makes a figure.

    Returns:
        The Matplotlib figure.

    Example:
        >>> image, history = transfer_style(content, style, size=64, steps=2, verbose=0)
        >>> figure = plot_losses(history)
    """
    curves = history.history
    if not curves:
        raise ValueError("This history has no steps yet: the run ended before its first one.")
    if ax is None:
        _, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
    steps = np.array(history.epoch)
    for name, colour in (("total_loss", "black"), ("content_loss", CONTENT), ("style_loss", STYLE)):
        ax.plot(steps, curves[name], color=colour, label=name.replace("_", " "))
    for step in steps[1:][np.diff(curves["size"]) != 0]:
        ax.axvline(step - 0.5, color="grey", linestyle=":", linewidth=1)
    ax.set(xlabel="step", ylabel="loss", yscale="log")
    ax.legend()
    return ax.figure


def plot_overview(lit=None, *, ax=None):
    """Draw the whole of style transfer: images, VGG16, features, losses, and the gradient back to the pixels.

    Args:
        lit: the part in colour: "features", "gram", "content", "style", "total" or "gradient"; None is all of them.
        ax: Matplotlib axes; None makes a figure.

    Returns:
        The Matplotlib figure.

    Example:
        >>> figure = plot_overview(lit="gram")
    """
    if lit is not None and lit not in OVERVIEW:
        raise ValueError(f"lit is None or one of {', '.join(OVERVIEW)}, not {lit!r}.")
    if ax is None:
        _, ax = plt.subplots(figsize=(10, 4.7), layout="constrained")
    ax.set(xlim=(-3, 102), ylim=(-5.5, 43.5), aspect="equal")
    ax.axis("off")

    def paint(part, colour, unlit=UNLIT):
        return colour if lit is None or part in OVERVIEW[lit] else unlit

    def text(x, y, words, part, colour="black", size=10):
        ax.text(x, y, words, color=paint(part, colour, "grey"), size=size, ha="center", va="center", linespacing=1.6)

    def frame(part, colour, corner, width, height, fill):
        shape = FancyBboxPatch(corner, width, height, "round,pad=0,rounding_size=1")
        shape.set(fc=paint(part, fill, "white"), ec=paint(part, colour), lw=1.8)
        ax.add_patch(shape)

    def arrow(part, colour, *points):
        line = {"color": paint(part, colour), "linewidth": 1.8}
        ax.plot(*zip(*points[:-1], strict=True), **line)
        ax.annotate("", points[-1], points[-2], arrowprops=line | {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0})

    def box(part, colour, x, y, width, height, words):
        frame(part, colour, (x, y), width, height, fill=colour)
        text(x + width / 2, y + height / 2, words, part, "white")

    painted = DATA / "generated" / "summer_palace_great_wave.jpg"
    rows = (
        (31, CONTENT, "summer_palace", "C", "content image $C$", "P", "$P$"),
        (15.5, GENERATED, painted, "X", "generated image $X$", "F", "$F$"),
        (0, STYLE, "great_wave", "S", "style image $S$", "F of S", "$F^S$"),
    )
    for y, colour, picture, image, title, features, letter in rows:
        picture = to_pil(picture).resize((465, 309))
        ax.imshow(picture, extent=(0, 15.5, y, y + 10.3), alpha=1 if paint(image, colour) == colour else 0.3)
        ax.add_patch(Rectangle((0, y), 15.5, 10.3, fill=False, ec=paint(image, colour), lw=2))
        text(7.75, y + 11.6, title, image, colour)
        arrow(image, colour, (16.3, y + 5.15), (20.8, y + 5.15))
        arrow(features, colour, (40, y + 5.15), (44.4, y + 5.15))
        for sheet in (2, 1, 0):  # three of the channels, one behind the other
            corner = (45 + sheet, y + 1.4 + sheet)
            ax.add_patch(Rectangle(corner, 6.2, 6.2, fc="white", ec=paint(features, colour), lw=1.5))
        text(48.1, y + 4.5, letter, features, colour, 12)
    text(49, 43, "features", "P")

    frame("VGG16", NETWORK, (21, -1), 18.6, 43.5, fill="#FBF3E2")
    text(32.5, 38.5, "VGG16", "VGG16", NETWORK, 12)
    text(34, 35, "frozen", "VGG16", NETWORK)
    for block in range(5):  # fewer and fewer positions, more and more channels
        left, width, height = 22.3 + 1.9 * block + 0.3 * block**2, 1.4 + 0.6 * block, 40 - 8 * block
        ax.add_patch(Rectangle((left, 20.6 - height / 2), width, height, fc=paint("VGG16", NETWORK), lw=0))

    box("G", GENERATED, 59, 14, 7, 7, "$G$")
    box("A", STYLE, 59, 1.7, 7, 7, "$A$")
    text(62.5, 23, "Gram matrices", "G")
    box("content loss", CONTENT, 71.5, 26.5, 14, 9, "content loss\n$\\frac{1}{2}\\,\\Sigma\\,(F - P)^2$")
    box("style loss", STYLE, 71.5, 7.2, 14, 9, "style loss\n$\\Sigma_l\\,w_l E_l$")
    box("total loss", "black", 90.5, 16.5, 11, 9, "total loss\n$\\alpha L_C + \\beta L_S$")

    arrow("content loss", CONTENT, (53.8, 36.2), (68, 36.2), (68, 33), (71.3, 33))
    arrow("content loss", GENERATED, (53.8, 22), (55.5, 22), (55.5, 29), (71.3, 29))
    arrow("G", GENERATED, (53.8, 17.5), (58.8, 17.5))
    arrow("A", STYLE, (53.8, 5.2), (58.8, 5.2))
    arrow("style loss", GENERATED, (66, 17.5), (68, 17.5), (68, 13.7), (71.3, 13.7))
    arrow("style loss", STYLE, (66, 5.2), (68, 5.2), (68, 9.7), (71.3, 9.7))
    arrow("total loss", CONTENT, (85.5, 31), (93.5, 31), (93.5, 25.7))
    arrow("total loss", STYLE, (85.5, 11.7), (93.5, 11.7), (93.5, 16.3))
    arrow("gradient", "black", (98.5, 16.5), (98.5, -3), (-2.3, -3), (-2.3, 20.6), (-0.3, 20.6))
    text(
        50,
        -4.8,
        "gradient $\\partial L / \\partial X$: each step changes the pixels of $X$, and nothing else",
        "gradient",
    )
    return ax.figure


def save_animation(path, images, *, ax=None, seconds=6.0):
    """Save a film of a run as a GIF. The file appears whole or not at all.

    Args:
        path: where to, ending in .gif.
        images: the pictures in order, for instance gathered by a callback; smaller ones are enlarged.
        ax: Matplotlib axes; None makes a figure that is nothing but the picture.
        seconds: how long the film lasts.

    Returns:
        The Matplotlib figure.

    Example:
        >>> frames = []
        >>> def keep(step, losses, image):
        ...     frames.append(to_pil(image))
        >>> image, history = transfer_style(content, style, size=64, steps=2, callbacks=[keep], verbose=0)
        >>> figure = save_animation("film.gif", frames)
    """
    check_output_path(path, animation=True)
    if not images:
        raise ValueError("There are no images to animate.")
    pictures = [to_pil(image) for image in images]
    width, height = pictures[-1].size
    if ax is None:
        ax = plt.figure(figsize=(width / 100, height / 100), dpi=100).add_axes((0, 0, 1, 1))
    ax.axis("off")
    shown = ax.imshow(pictures[0], extent=(0, width, height, 0))
    film = FuncAnimation(ax.figure, shown.set_data, frames=pictures, init_func=lambda: None, cache_frame_data=False)
    with replacing(path) as unfinished:
        film.save(unfinished, writer=PillowWriter(fps=len(pictures) / seconds))
    return ax.figure


def show(figure, alt):
    """Show a figure in a notebook as a JPEG with alternative text, and close it.

    Args:
        figure: a Matplotlib figure.
        alt: what the picture shows, in words, for readers who cannot see it.

    Example:
        >>> show(plot_images({"content": content, "style": style}), "A photo of a pagoda and a print of a wave.")
        <IPython.core.display.Image object>
    """
    LiveImage().show(figure, alt)


class LiveImage:
    """A callback for `transfer_style`: one place in a notebook that shows the image while it is painted.

    Args:
        alt: what the image shows, in words, for readers who cannot see it.
        width: on the page, in pixels; the image keeps its aspect.

    Example:
        >>> live = LiveImage("A pagoda, painted.")
        >>> image, history = transfer_style(content, style, size=64, steps=1, callbacks=live, verbose=0)
        <IPython.core.display.Image object>
    """

    def __init__(self, alt="The image that is being painted.", width=400):
        self.alt, self.width, self.place = alt, width, None

    def __call__(self, step, losses, image):
        to_pil(image).save(buffer := io.BytesIO(), "JPEG", quality=85)
        self._put(buffer, self.alt, self.width)

    def show(self, figure, alt):
        """Put a finished figure in the image's place, and close it."""
        figure.savefig(buffer := io.BytesIO(), format="jpeg", dpi=100, pil_kwargs={"quality": 85})
        plt.close(figure)
        self._put(buffer, alt)

    def _put(self, jpeg, alt, width=None):
        from IPython.display import Image, display

        picture = Image(jpeg.getvalue(), format="jpeg", alt=alt, width=width)
        if self.place is None:
            self.place = display(picture, display_id=True)
        else:
            self.place.update(picture)


def _as_many(axes, count, what):
    axes = list(np.ravel(axes))
    if len(axes) != count:
        raise ValueError(f"There are {count} {what} but {len(axes)} axes.")
    return axes
