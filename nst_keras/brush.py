"""A photo to paint a region on, for the page of the studio."""

import ipywidgets as widgets
import numpy as np
from ipycanvas import Canvas, hold_canvas
from PIL import Image, ImageDraw

from nst_keras.parts import button, row, text, wide

SIDE = 480  # the longer one, in pixels: a stroke is no finer
COLOUR, OPACITY = "deeppink", 0.5  # rare in photos, which show through


class Brush:
    """A photo on which a region is painted, with the mouse or a finger.

    Args:
        uploads: the `Uploads` of the page, which have the photo, and keep the region.
        changed: is called after every stroke, without arguments.

    Example:
        >>> from nst_keras.files import Uploads
        >>> brush = Brush(Uploads(), changed=lambda: print("white:", np.mean(np.array(brush.mask) == 255).round(2)))
        >>> brush.lay("summer_palace")
        white: 0.0
        >>> brush.press(0, 160)
        >>> brush.move(480, 160)
        >>> brush.release()
        white: 0.13
    """

    def __init__(self, uploads, changed):
        self.uploads, self.changed, self.name = uploads, changed, uploads.new_region()
        self.photo = self.place = None
        self.size = widgets.IntSlider(40, 4, 160, description="brush", readout=False, **wide("13rem"))
        self.canvas = Canvas()
        below = row(self.size, button("Clear", self.clear, "5rem"))
        self.box = widgets.VBox([text("Paint on the photo where this painting works."), self.canvas, below])
        self.canvas.on_client_ready(self.show)  # a browser that comes late has missed what was drawn
        self.canvas.on_mouse_down(self.press)
        self.canvas.on_mouse_move(self.move)
        self.canvas.on_touch_start(lambda touches: self.press(*touches[0]))
        self.canvas.on_touch_move(lambda touches: self.move(*touches[0]))
        for on_end in ("mouse_up", "mouse_out", "touch_end", "touch_cancel"):
            getattr(self.canvas, f"on_{on_end}")(self.release)

    def lay(self, name):
        """Show the photo of that name to paint on, or nothing; on another photo than before nothing is painted yet."""
        self.box.layout.display = None if name else "none"
        photo = self.uploads.small(name, SIDE) if name else self.photo
        if photo != self.photo:
            tint = Image.new("RGB", photo.size, COLOUR)
            self.photo, self.tinted = photo, Image.blend(photo, tint, OPACITY)
            self.canvas.width, self.canvas.height = photo.size
            self.clear()

    def clear(self):
        """Let nothing be painted."""
        self.mask, self.place = Image.new("L", self.photo.size), None
        self.show()
        self.keep()

    def press(self, x, y):
        """Set the brush on the photo."""
        self.place = x, y
        self.move(x, y)

    def move(self, x, y):
        """Draw it on to another place, if it is down."""
        if self.place:
            draw, radius, ends = ImageDraw.Draw(self.mask), self.size.value / 2, (self.place, (x, y))
            draw.line(ends, fill=255, width=self.size.value)
            for end in ends:
                draw.circle(end, radius, fill=255)
            (left, right), (top, bottom) = (sorted(map(int, side)) for side in zip(*ends, strict=True))
            reach = int(radius) + 2
            self.show_painted((left - reach, top - reach, right + reach, bottom + reach))
            self.place = x, y

    def release(self, *_):
        """Lift the brush."""
        if self.place:
            self.place = None
            self.keep()

    def keep(self):
        """Let what is painted be the region."""
        self.uploads.keep_region(self.name, self.mask)
        self.changed()

    def show(self):
        """Show the photo, and what is painted on it."""
        if self.photo:
            with hold_canvas():
                self.canvas.put_image_data(np.asarray(self.photo))
                self.show_painted((0, 0, *self.photo.size))

    def show_painted(self, box):
        """Show what is painted in a box (left, top, right, bottom), and only that: one may overtake another."""
        painted = self.tinted.crop(box)
        painted.putalpha(self.mask.crop(box))
        self.canvas.put_image_data(np.asarray(painted), *box[:2])
