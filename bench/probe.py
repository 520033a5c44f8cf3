"""Questions about rendered rooms that no task asks: what the trained models are never trained on.

The renderer knows where everything is, so the answers come from its geometry, not from a picture. Marks are those of the
tasks, and so is the form of a question: options A, B and so on, of which one letter is asked for. Kinds: side, height,
distance (of two marked places), size (which of three marked things is tallest), and view (on which side of someone who
stands at place 1 and looks at place 2 is place 3).

Convention: that of sources/rooms/geometry.py: x to the right, y down, z forward, metres, in the camera's frame for side and
distance, in the room's frame, whose floor is level, for the others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import numpy as np

from spatial_ssrl.grammar import Letter
from spatial_ssrl.rng import digest, generator
from spatial_ssrl.row import Image, Row
from spatial_ssrl.scene import RGB, encode_jpeg
from spatial_ssrl.sources.rooms import render_room
from spatial_ssrl.sources.rooms.room import draw_room
from spatial_ssrl.sources.rooms.world import World, look
from spatial_ssrl.tasks.marks import badge_radius, draw_marks, mark_reach, mark_spacing

SIDE = 168
HALF, BADGE = max(4, SIDE // 40), badge_radius(SIDE)
LEAST_ANGLE = np.radians(25)
Floats = np.ndarray


@dataclass(frozen=True)
class Seen:
    """A room and what the camera sees of it."""

    key: tuple[str | int, ...]
    world: World
    place: Floats
    """Of each pixel in the camera's frame, (h, w, 3)."""
    ground: Floats
    """Of each pixel in the room's frame, (h, w, 3)."""
    thing: Floats
    """Number of the piece of furniture in each pixel, or -1, (h, w)."""

    @classmethod
    def create(cls, *key: str | int) -> "Seen":
        world, camera = draw_room(generator(*key), "varied")
        row, column = np.indices((SIDE, SIDE)).reshape(2, -1)
        view = look(world, camera.at, camera.rays(column + 0.5, row + 0.5, SIDE, SIDE))
        owner = np.array([i for i, piece in enumerate(world.pieces) for _ in piece.parts] + [-1])
        thing = owner[np.where(view.key < 0, -1, view.key // 8)].reshape(SIDE, SIDE)
        k, depth = camera.intrinsics(SIDE, SIDE), view.t
        place = np.stack([(column + 0.5 - k.cx) / k.fx * depth, (row + 0.5 - k.cy) / k.fy * depth, depth])
        in_camera, in_room = (p.T.reshape(SIDE, SIDE, 3) for p in (place, view.point))
        return cls(key, world, in_camera, in_room, thing)

    @property
    def rgb(self) -> RGB:
        return render_room(generator(*self.key), SIDE, SIDE).rgb

    def points(self, rng: np.random.Generator, n: int) -> list[tuple[int, int]]:
        """Up to n places (x, y) whose marks hide nothing of each other."""
        reach, apart = mark_reach(HALF, BADGE), mark_spacing(HALF, BADGE)
        chosen: list[tuple[int, int]] = []
        for x, y in rng.integers(reach, SIDE - HALF - 3 - 1, (40, 2)):
            if x < SIDE - reach and all(max(abs(x - a), abs(y - b)) >= apart for a, b in chosen):
                chosen.append((int(x), int(y)))
        return chosen[:n]


Answer = tuple[list[tuple[int, int]], int]
"""Marked places, and the number of the right answer, from 0."""
Draw = Callable[[Seen, np.random.Generator], Answer | None]


def _compare(axis: int, least: float, of: str) -> Draw:
    """Two places that differ by at least so much along an axis; the right one has the smaller value."""

    def draw(seen: Seen, rng: np.random.Generator) -> Answer | None:
        points = seen.points(rng, 2)
        values = [getattr(seen, of)[y, x][axis] for x, y in points]
        return (points, int(np.argmin(values))) if len(points) == 2 and abs(values[0] - values[1]) >= least else None

    return draw


def _tallest(seen: Seen, rng: np.random.Generator) -> Answer | None:
    """Three things on the floor, each marked in its middle pixel; the tallest is so by 25 cm."""
    low, high = mark_reach(HALF, BADGE), SIDE - mark_reach(HALF, BADGE)
    marks: list[tuple[tuple[int, int], float]] = []
    for number in rng.permutation(len(seen.world.pieces)):
        rows, columns = np.nonzero(seen.thing == number)
        bottom, top = seen.world.pieces[number].bounds[1][1], seen.world.pieces[number].bounds[0][1]
        if rows.size < 60 or abs(bottom) > 0.05:
            continue
        middle = int(np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2))
        x, y = int(columns[middle]), int(rows[middle])
        spaced = all(max(abs(x - a), abs(y - b)) >= mark_spacing(HALF, BADGE) for (a, b), _ in marks)
        if low <= x < high and low <= y < high and spaced:
            marks.append(((x, y), -float(top)))
    heights = [height for _, height in marks[:3]]
    if len(heights) < 3 or sorted(heights)[-1] - sorted(heights)[-2] < 0.25:
        return None
    return [point for point, _ in marks[:3]], int(np.argmax(heights))


def _view(seen: Seen, rng: np.random.Generator) -> Answer | None:
    """Left (0) or right (1) of the look from place 1 to place 2, on the ground; not nearly ahead or behind."""
    points = seen.points(rng, 3)
    if len(points) < 3:
        return None
    a, b, c = (seen.ground[y, x][[0, 2]] for x, y in points)
    ahead, there = b - a, c - a
    if min(np.hypot(*ahead), np.hypot(*there)) < 0.5:
        return None
    angle = np.arctan2(ahead[1] * there[0] - ahead[0] * there[1], ahead @ there)  # positive to the right, seen from above
    clear = LEAST_ANGLE < abs(angle) < np.pi - LEAST_ANGLE
    return (points, int(angle > 0)) if clear else None


PLACES = ("place 1", "place 2")
KINDS: dict[str, tuple[Draw, str, tuple[str, ...]]] = {
    "side": (_compare(0, 0.5, "place"), "Which marked place is farther to the left?", PLACES),
    "height": (_compare(1, 0.4, "ground"), "Which marked place is higher above the floor?", PLACES),
    "distance": (_compare(2, 0.6, "place"), "Which marked place is nearer to the camera?", PLACES),
    "size": (_tallest, "Which of the marked things is the tallest?", ("thing 1", "thing 2", "thing 3")),
    "view": (_view, "You stand at place 1 and look at place 2. On which side of you is place 3?", ("left", "right")),
}
"""How places are drawn, the question, and its options."""
ASKED = {2: "Answer with one letter, A or B.", 3: "Answer with one letter from A to C."}
"""How questions of so many options end; so do those of the tasks."""


def probe_rows(kind: str, n: int, seed: int = 0) -> list[Row]:
    """n rows of a kind, each of a room of its own; marks are numbered so that right answers are spread evenly."""
    draw, _, options = KINDS[kind]
    rows: list[Row] = []
    for i in count():
        seen = Seen.create("probe", seed, kind, i)
        drawn = draw(seen, generator("probe marks", seed, kind, i))
        if drawn is None:
            continue
        right = len(rows) % len(options)
        points = _renumber(*drawn, right, first=len(drawn[0]) - len(options))
        picture = encode_jpeg(draw_marks(seen.rgb, points, HALF, BADGE))
        rows.append(_row(digest("probe", seed, kind, i), kind, right, picture))
        if len(rows) == n:
            return rows
    raise AssertionError("counting does not end")


def _renumber(points: list[tuple[int, int]], right: int, wanted: int, first: int) -> list[tuple[int, int]]:
    """The places with two marks exchanged, so that `wanted` is the right answer; answer 0 is about mark `first`.

    With kind view this exchanges places 2 and 3, and so left and right.
    """
    points = list(points)
    points[first + right], points[first + wanted] = points[first + wanted], points[first + right]
    return points


def _row(identity: str, kind: str, right: int, picture: bytes) -> Row:
    _, question, options = KINDS[kind]
    letters = list(Letter(len(options)).answers())
    lines = "\n".join(f"{letter}. {option}" for letter, option in zip(letters, options, strict=True))
    return Row(
        id=identity,
        task=kind,
        variant="probe",
        profile="probe",
        level=1,
        problem=f"<image>\n{question}\n{lines}\n{ASKED[len(options)]}",
        answer=letters[right],
        grammar=Letter(len(options)).spec,
        images=[Image(bytes=picture, path=f"{identity}.jpg")],
        options=list(options),
        chance=1 / len(options),
        margin=0.0,
        margin_threshold=0.0,
        scene_id=identity,
        source="rooms",
        split="test",
        params="{}",
    )
