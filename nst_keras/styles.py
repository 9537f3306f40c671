"""Styles: what to paint with, how much of it, how large its strokes are, and where. Needs no TensorFlow."""

import numbers
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from nst_keras.pictures import fitted_shape, name_of, open_picture, pixels_of, shape_of
from nst_keras.ranges import Number, check
from nst_keras.recipe import check_sides, smallest_size

SHARE = Number(0.001, 1000)
SCALE = Number(0.1, 10)
MOST_COLOUR = 0.05  # of a mask, the mean distance of its channels: of our photographs 0.11 to 0.42


@dataclass(frozen=True, eq=False)  # two pictures cannot be compared with ==
class Style:
    """A painting, and how it is to be used. `transfer_style` takes one in place of the painting, or a list of them.

    Args:
        image: the painting, anything `load_image` takes.
        share: how much of this style it is, beside the shares of the others: 2 and 1 are two thirds and one third.
        scale: the size of its strokes. The painting is brought to `scale` times the picture's longer side, so 1 keeps
            its strokes as they are beside the whole, and 2 makes them twice as large. Beyond the painting's own pixels
            it is enlarged, and its strokes blur.
        region: a mask on the photo, anything `load_image` takes, in the photo's shape at any size. The style paints
            where it is white; grey counts in part, and what is transparent is black. None is everywhere. An array of
            True and False will do.
        style_region: a mask on the painting: the style is taken from there only.

    In its region a style works as strongly as it would alone on the whole picture. Where regions overlap, their shares
    count relative to each other, pixel by pixel; where no region reaches, the content alone rules.

    Raises:
        ValueError: if `share` or `scale` makes no sense.

    Source:
        Gatys et al. (2017, arXiv 1611.07865): guided Gram matrices for regions, section 4; scale, section 6.

    Example:
        >>> sky = Style("great_wave", region="summer_palace_sky")
        >>> ground = Style("poppies", scale=1.5, region="summer_palace_ground")
        >>> image, history = transfer_style("summer_palace", [sky, ground], size=80, steps=2, verbose=0)
        >>> [name for name in history.history if name.startswith("style_loss/") and "block" not in name]
        ['style_loss/1', 'style_loss/2']
    """

    image: object
    share: float = 1.0
    scale: float = 1.0
    region: object = None
    style_region: object = None

    def __post_init__(self):
        check("share", self.share, SHARE)
        check("scale", self.scale, SCALE)


def styles_from(style):
    """A list of `Style`, from an image, a `Style`, a list of either, or {image: share}.

    Example:
        >>> [(style.image, style.share) for style in styles_from({"great_wave": 2, "poppies": 1})]
        [('great_wave', 2), ('poppies', 1)]
    """
    if isinstance(style, Mapping):
        styles = [
            replace(one, share=share) if isinstance(one, Style) else Style(one, share) for one, share in style.items()
        ]
    elif isinstance(style, list | tuple) and not (style and isinstance(style[0], list | tuple | numbers.Number)):
        styles = style
    else:  # also nested lists of numbers, which are an image
        styles = [style]
    styles = [one if isinstance(one, Style) else Style(one) for one in styles]
    if not styles:
        raise ValueError("Give at least one style.")
    return styles


def open_style(style, content_shape, size, layers_need):
    """The style with its painting and masks decoded by `open_picture`, and refused if they do not fit.

    Args:
        style: a `Style`.
        content_shape: (height, width) of the photo, for the region.
        size: longer side of the picture to be painted.
        layers_need: `smallest_side` of the layers, as in `check_sides`.
    """
    painting, name = open_picture(style.image), name_of(style.image, "The style image")
    check_sides(name, shape_of(painting), size, layers_need)
    scaled, needed = round(style.scale * size), smallest_size(shape_of(painting), layers_need)
    if scaled < needed:
        raise ValueError(
            f"{name} at scale {style.scale:g} has {scaled} pixels on its longer side, and the deepest of the chosen "
            f"layers needs {needed}; choose a scale from {ceil(100 * needed / size) / 100:g}, or a larger size."
        )
    of = f" of {name_of(style.image, 'the style')}"
    return replace(
        style,
        image=painting,
        region=_open_mask(style.region, "The region" + of, content_shape, size, layers_need),
        style_region=_open_mask(style.style_region, "The style region" + of, shape_of(painting), size, layers_need),
    )


def _open_mask(source, what, shape, size, layers_need):
    """The mask of a picture (height, width); what is thinner than a position of the deepest layer is nothing there."""
    if source is None:
        return None
    mask, name = open_picture(source, background=0.0), name_of(source, what)
    own = shape_of(mask)
    if any(abs(side - fits) > 1 for side, fits in zip(own, fitted_shape(*shape, max(own)), strict=True)):
        raise ValueError(
            f"{name} has {own[1]}×{own[0]} pixels, another aspect than the {shape[1]}×{shape[0]} of the picture that "
            "it is a mask of; cut it to the shape of that picture."
        )
    pixels = pixels_of(mask, size)
    if np.ptp(pixels, axis=-1).mean() > MOST_COLOUR:
        raise ValueError(f"{name} has colours; a mask has none: it is white where the style paints, else black.")
    if pixels.max() == 0:
        raise ValueError(f"{name} is empty: it is black everywhere, and a mask is white where it counts.")
    if pixels.max() < 1.5 / 255:
        raise ValueError(
            f"{name} is nearly black: its lightest pixel is 1 of 255. A mask of zeros and ones is an array of bool or "
            "float; or multiply it by 255."
        )
    height, width = fitted_shape(*shape, size)
    white = pixels.mean() * height * width
    if white < layers_need**2:
        raise ValueError(
            f"{name} is nearly empty: {white:.0f} of its {width}×{height} pixels at this size are white, and the "
            f"deepest of the chosen layers sees nothing of fewer than {layers_need**2}. Make more of it white, or the "
            "size larger."
        )
    return mask
