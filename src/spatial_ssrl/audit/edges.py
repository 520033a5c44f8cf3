"""The edges of patches, prepared for asking how well two of them continue each other.

Convention: an edge is (length, depth, 3): length runs along the edge with x or y, depth runs from the
patch's border (0) inwards. Costs are sums or means over the length; a lower one means a better fit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

FINE = 4
"""Depth, in pixels, of the edges at the picture's own resolution."""
COARSE = 64
"""Side to which a patch is averaged for costs that survive gaps, rescaling and noise."""
DEEP = 24
"""Depth of coarse edges, of COARSE."""
SIDES = ("left", "top", "right", "bottom")


@dataclass(frozen=True)
class Edges:
    """Edges of m patches at one side."""

    fine: np.ndarray
    """(m, length, FINE, 3) grey levels."""
    seen: np.ndarray
    """(m, length), 1 where no label hides the fine edge, else 0."""
    coarse: np.ndarray
    """(m, COARSE, DEEP, 3) grey levels."""
    even: np.ndarray
    """The coarse edges in units of each patch's own mean and spread."""
    coarse_seen: np.ndarray
    """(m, COARSE)."""

    def __getitem__(self, index: np.ndarray) -> "Edges":
        return Edges(self.fine[index], self.seen[index], self.coarse[index], self.even[index], self.coarse_seen[index])


def edges_of(patches: Sequence[np.ndarray], label: int = 0) -> dict[str, Edges]:
    """Edges by side of patches of one size, whose top left `label` px square is hidden."""
    clean = [unlabel(patch, label) for patch in patches]
    small = np.stack([shrink(patch) for patch in clean])
    spread = small.std(axis=(1, 2), keepdims=True) + 4.0
    even = (small - small.mean(axis=(1, 2), keepdims=True)) / spread
    full = np.stack(clean).astype(np.float32)
    return {side: _edges(full, small, even, side, label) for side in SIDES}


def _edges(full: np.ndarray, small: np.ndarray, even: np.ndarray, side: str, label: int) -> Edges:
    fine = _strip(full, side, FINE)
    length = fine.shape[1]
    hidden = label / length if side in ("left", "top") else 0.0
    seen, coarse_seen = (np.tile(np.arange(n) >= hidden * n, (len(full), 1)).astype(np.float32) for n in (length, COARSE))
    return Edges(fine, seen, _strip(small, side, DEEP), _strip(even, side, DEEP), coarse_seen)


def _strip(patches: np.ndarray, side: str, depth: int) -> np.ndarray:
    """(m, length, depth, 3) of patches (m, height, width, 3)."""
    if side in ("top", "bottom"):
        patches = patches.swapaxes(1, 2)
    return patches[:, :, :depth] if side in ("left", "top") else patches[:, :, ::-1][:, :, :depth]


def unlabel(patch: np.ndarray, label: int) -> np.ndarray:
    """The patch with its top left square painted over with what lies to the right of it."""
    if not label or patch.shape[1] < 2 * label:
        return patch
    clean = patch.copy()
    clean[:label, :label] = patch[:label, label : 2 * label][:, ::-1]
    return clean


def shrink(patch: np.ndarray, side: int = COARSE) -> np.ndarray:
    """The patch averaged to side x side, float32 grey levels."""
    return np.asarray(Image.fromarray(patch).resize((side, side), Image.Resampling.BOX), np.float32)
