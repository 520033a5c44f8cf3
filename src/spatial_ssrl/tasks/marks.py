"""Numbered labels and markers, sized to the picture that carries them."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import UInt16
from PIL import Image, ImageDraw, ImageFont

from spatial_ssrl.scene import RGB, Box

SUPERSAMPLING = 4
INSET = 3
"""Distance in pixels of a patch's label from the patch's edges."""


def badge_radius(side: int) -> int:
    """Radius in pixels of a badge that is legible where the shorter side is `side` px."""
    return max(7, round(side / 26))


def draw_badge(rgb: RGB, x: int, y: int, text: str, radius: int) -> None:
    """Draw, in place, a numbered disc with its centre at (x, y); the disc lies inside the picture."""
    ink, paper = _badge(text, radius)
    window = rgb[y - radius : y + radius + 1, x - radius : x + radius + 1]
    window[:] = (ink + window * paper) >> 8


def draw_ring(rgb: RGB, x: int, y: int, inner: int) -> None:
    """Draw, in place, a square frame around (x, y) that leaves the `inner` px on each side untouched."""
    width = ring_width(inner)
    for extent, shade in ((inner + width, 0), (inner + width - max(1, width // 3), 255)):
        _frame(rgb, x, y, inner, extent, shade)


def ring_width(inner: int) -> int:
    """Thickness in pixels of the frame around a square of half side `inner`."""
    return max(2, round(inner / 4))


def _frame(rgb: RGB, x: int, y: int, inner: int, outer: int, shade: int) -> None:
    """Paint the band between two squares around (x, y), given by their half sides."""
    rgb[y - outer : y - inner, x - outer : x + outer + 1] = shade
    rgb[y + inner + 1 : y + outer + 1, x - outer : x + outer + 1] = shade
    rgb[y - outer : y + outer + 1, x - outer : x - inner] = shade
    rgb[y - outer : y + outer + 1, x + inner + 1 : x + outer + 1] = shade


def draw_mark(rgb: RGB, x: int, y: int, inner: int, text: str, badge: int) -> None:
    """Draw, in place, a frame around (x, y) and its badge above: nothing inside the frame is hidden."""
    draw_ring(rgb, x, y, inner)
    draw_badge(rgb, x, y - inner - ring_width(inner) - badge, text, badge)


def draw_marks(rgb: RGB, places: Sequence[tuple[int, int]], inner: int, badge: int) -> RGB:
    """A copy of the picture with marks 1, 2, ... around these (x, y)."""
    marked = rgb.copy()
    for label, (x, y) in enumerate(places, start=1):
        draw_mark(marked, x, y, inner, str(label), badge)
    return marked


def mark_reach(inner: int, badge: int) -> int:
    """How far, in pixels, a mark reaches from its centre (upwards; less to the other sides)."""
    return inner + ring_width(inner) + 2 * badge + 1


def mark_spacing(inner: int, badge: int) -> int:
    """Distance in pixels, along x or y, from which two marks hide nothing of each other."""
    return mark_reach(inner, badge) + inner + ring_width(inner) + 1


def label_boxes(rgb: RGB, boxes: Sequence[Box]) -> RGB:
    """The picture with the number of each box in its top-left corner, drawn in place."""
    shorter = min(min(right - left, bottom - top) for left, top, right, bottom in boxes)
    radius = min(badge_radius(min(rgb.shape[:2])), (shorter - INSET) // 2 - 1)
    for k, (left, top, _, _) in enumerate(boxes):
        draw_badge(rgb, left + radius + INSET, top + radius + INSET, str(k), radius)
    return rgb


@lru_cache(maxsize=256)
def _badge(text: str, radius: int) -> tuple[UInt16[np.ndarray, "d d 3"], UInt16[np.ndarray, "d d 1"]]:
    """A dark disc with a white rim and number, of side 2 * radius + 1: its colours, and the share that it leaves of others.

    Both in 256ths: colours are multiplied by what covers the picture.
    """
    side = 2 * radius + 1
    big = side * SUPERSAMPLING
    image = Image.new("RGBA", (big, big), (255, 255, 255, 0))
    pen = ImageDraw.Draw(image)
    rim = max(1, round(radius / 7)) * SUPERSAMPLING
    pen.ellipse((0, 0, big - 1, big - 1), fill=(255, 255, 255, 255))
    pen.ellipse((rim, rim, big - 1 - rim, big - 1 - rim), fill=(24, 24, 28, 255))
    font = ImageFont.load_default(size=1.35 * radius * SUPERSAMPLING)
    pen.text((big / 2, big / 2), text, font=font, anchor="mm", fill=(255, 255, 255, 255), stroke_width=SUPERSAMPLING // 2)
    sprite = np.asarray(image.resize((side, side), Image.Resampling.BOX)).astype(np.uint16)
    cover = (sprite[..., 3:] * 256 + 127) // 255
    return sprite[..., :3] * cover, 256 - cover
