"""Pictures of pictures. Every `plot_` function draws on the given axes (or makes some) and returns the figure."""

import io

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter

from nst_keras.images import to_pil
from nst_keras.pictures import check_output_path, replacing


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


def plot_feature_maps(features, channels=range(8), *, axes=None):
    """Show single channels of a feature map: bright where the channel fires.

    Args:
        features: shape (1, height, width, channels).
        channels: numbers of the channels to show.
        axes: as many Matplotlib axes; None makes a grid of up to eight in a row.

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
    if axes is None:
        columns = min(8, len(channels))
        rows = -(-len(channels) // columns)
        size = (1.5 * columns, rows * (1.5 * features.shape[0] / features.shape[1] + 0.3))
        _, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
        for ax in axes.flat:
            ax.axis("off")
        axes = axes.flat[: len(channels)]
    axes = _as_many(axes, len(channels), "channels")
    for ax, channel in zip(axes, channels, strict=True):
        ax.imshow(features[..., channel], cmap="magma")
        ax.set_title(f"channel {channel}", fontsize=8)
        ax.axis("off")
    return axes[0].figure


def plot_gram_matrix(gram, *, ax=None, title=None, labels=None):
    """Show a Gram matrix as a heat map, the entries written in where there are few.

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
    picture = ax.imshow(gram, cmap="viridis")
    ax.figure.colorbar(picture, ax=ax)
    ax.set(title=title, xlabel="channel", ylabel="channel")
    if labels is not None:
        ax.set(xticks=range(len(labels)), xticklabels=labels, yticks=range(len(labels)), yticklabels=labels)
    if len(gram) <= 8:
        for (row, column), value in np.ndenumerate(gram):
            colour = "black" if picture.norm(value) > 0.6 else "white"
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
    for name in ("total_loss", "content_loss", "style_loss"):
        ax.plot(steps, curves[name], label=name.replace("_", " "))
    for step in steps[1:][np.diff(curves["size"]) != 0]:
        ax.axvline(step - 0.5, color="grey", linestyle=":", linewidth=1)
    ax.set(xlabel="step", ylabel="loss", yscale="log")
    ax.legend()
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
    from IPython.display import Image, display

    buffer = io.BytesIO()
    figure.savefig(buffer, format="jpeg", dpi=100, pil_kwargs={"quality": 85})
    plt.close(figure)
    display(Image(buffer.getvalue(), format="jpeg", alt=alt))


def live_image(alt, width=400):
    """A callback for `transfer_style` that shows the picture in a notebook while it is painted.

    Args:
        alt: what the picture shows, in words, for readers who cannot see it.
        width: on the page, in pixels; the picture keeps its aspect.

    Returns:
        Function callback(step, losses, image).

    Example:
        >>> image, history = transfer_style(
        ...     content, style, size=64, steps=1, callbacks=[live_image("A pagoda, painted.")], verbose=0
        ... )
        <IPython.core.display.Image object>
    """
    from IPython.display import Image, display

    shown = None

    def callback(step, losses, image):
        nonlocal shown
        buffer = io.BytesIO()
        to_pil(image).save(buffer, "JPEG", quality=85)
        picture = Image(buffer.getvalue(), format="jpeg", width=width, alt=alt)
        if shown is None:
            shown = display(picture, display_id=True)
        else:
            shown.update(picture)

    return callback


def _as_many(axes, count, what):
    axes = list(np.ravel(axes))
    if len(axes) != count:
        raise ValueError(f"There are {count} {what} but {len(axes)} axes.")
    return axes
