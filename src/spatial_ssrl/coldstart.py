"""The reply that a cold start imitates: a thought written from a row's parameters, then the boxed answer.

Nobody looked at the picture: a thought says what follows from how the puzzle was made, such as which patch touches
which. How many of its observations it names, and in which words, is drawn by the row's id.

Convention: as in the tasks that wrote the parameters. `permutation[k]` is the original patch at shown place k; y runs
down; a view is counted counter-clockwise from the camera's z axis as seen from above.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from math import dist
from typing import Any, NamedTuple

from numpy.random import Generator

from spatial_ssrl.rng import generator

BRIEF = {
    "shuffle": "Patches that belong together continue each other.",
    "flip": "The flipped patch does not continue the others.",
    "crop": "The right piece continues the picture.",
    "depth": "I compare how far the places are.",
    "position": "I look from the first place.",
    "distance": "I compare how far apart the places are in space.",
}
"""One line a task, for models too small to write more."""


class Thought(NamedTuple):
    """What there is to say about a puzzle; every sentence in the wordings from which one is drawn."""

    openings: Sequence[str]
    seen: Sequence[Sequence[str]]
    concluded: Sequence[str]


def cold_start_reply(row: Mapping[str, Any], form: str = "think") -> str:
    """The right reply to a row: a thought and the box ("think", or "brief" with one line of thought), "boxed", or "none"."""
    if form == "none":
        return str(row["answer"])
    box = f"\\boxed{{{row['answer']}}}"
    if form == "boxed":
        return box
    known = form == "think" and row["task"] in WRITERS
    thought = _write(row) if known else BRIEF.get(row["task"], "I look at the picture closely.")
    return f"<think>{thought}</think>\n{box}"


def _write(row: Mapping[str, Any]) -> str:
    rng = generator(row["id"], "cold start")
    thought = WRITERS[row["task"]](row, json.loads(row["params"]))
    kept = sorted(rng.permutation(len(thought.seen))[: rng.integers(1, len(thought.seen) + 1)])
    said = [_one(rng, thought.seen[i]) for i in kept]
    opening = [_one(rng, thought.openings)] if rng.random() < 0.5 else []
    return " ".join([*opening, *said, _one(rng, thought.concluded)])


def _one(rng: Generator, wordings: Sequence[str]) -> str:
    return wordings[int(rng.integers(len(wordings)))]


def _touching(rows: int, columns: int) -> Iterator[tuple[int, int, str]]:
    """Patches of a grid that touch: one, the other, and where from the one the other is."""
    for patch in range(rows * columns):
        if patch % columns < columns - 1:
            yield patch, patch + 1, "right of"
        if patch // columns < rows - 1:
            yield patch, patch + columns, "below"


def _places(rows: int, columns: int) -> list[str]:
    if (rows, columns) == (2, 2):
        return ["top left", "top right", "bottom left", "bottom right"]
    if 1 in (rows, columns):
        return [f"place {i + 1} from the {'left' if rows == 1 else 'top'}" for i in range(rows * columns)]
    return [f"row {i // columns + 1}, column {i % columns + 1}" for i in range(rows * columns)]


def _shuffle(row: Mapping[str, Any], params: Mapping[str, Any]) -> Thought:
    rows, columns = map(int, row["variant"].removesuffix("-masked").split("x"))
    label = [params["permutation"].index(patch) for patch in range(rows * columns)]
    seen = [
        (f"Number {label[b]} comes {side} number {label[a]}.", f"Number {label[b]} goes on {side} {label[a]}.")
        for a, b, side in _touching(rows, columns)
        if params["masked"] not in (a, b)
    ]
    places = _places(rows, columns)
    if params["masked"] is not None:
        hidden = f"Number {label[params['masked']]} is white"
        seen.append((f"{hidden} and takes the place that is left.", f"{hidden}: only one place remains for it."))
    listed = "; ".join(f"{place}: {number}" for place, number in zip(places, label, strict=True))
    order = ", ".join(map(str, label))
    return Thought(
        ("I look for borders that fit.", "What is cut at a border must go on beyond it.", "Which patches belong together?"),
        seen,
        (f"So the original has {listed}.", f"In the asked order the numbers are {order}.", f"That gives {listed}."),
    )


def _flip(row: Mapping[str, Any], params: Mapping[str, Any]) -> Thought:
    changed, way = params["patch"], params["way"]
    seen = [
        (f"Number {changed} does not fit number {sum((a, b)) - changed}.", f"The border of {a} and {b} is broken.")
        if changed in (a, b)
        else (f"Numbers {a} and {b} fit each other.", f"Across their border, {a} and {b} go on.")
        for a, b, _ in _touching(2, 2)
    ]
    if row["variant"].endswith("-turned"):
        undone = f"Turned back by {way} degrees counter-clockwise, number {changed} fits"
        concluded = f"number {changed} was turned clockwise by {way} degrees."
    else:
        axis, sides = (("vertically", "top and bottom"), ("horizontally", "left and right"))[way]
        undone = f"With {sides} exchanged again, number {changed} fits"
        concluded = f"number {changed} was flipped {axis}, which is {way}."
    seen.append((f"{undone}.", f"{undone} its neighbours."))
    openings = ("I compare the borders of the patches.", "One patch must break the picture.", "Which patch is out of line?")
    return Thought(openings, seen, (f"So {concluded}", f"Therefore {concluded}", concluded.capitalize()))


CROPS = {
    "rotated-clockwise": ("{} is turned clockwise.", "In {} everything is turned by 90 degrees clockwise."),
    "rotated-counterclockwise": (
        "{} is turned counter-clockwise.",
        "In {} everything is turned by 90 degrees counter-clockwise.",
    ),
    "interior": ("{} shows only the middle of the part, enlarged.", "{} is too near: it shows less than the square hides."),
    "surroundings-25": ("{} shows more than fits into the square.", "{} also shows what is around the square."),
    "surroundings-50": ("{} shows more than fits into the square.", "{} also shows what is around the square."),
    "elsewhere": ("{} is another part of the scene.", "What is around the square does not go on in {}."),
    "mirrored": ("{} is the right part, mirrored.", "In {} left and right are exchanged."),
    "elsewhere-mirrored": ("{} is another part of the scene, mirrored.", "What is around the square does not go on in {}."),
    "true": ("{} goes on with what is around the square.", "{} continues what is around the square."),
}


def _crop(row: Mapping[str, Any], params: Mapping[str, Any]) -> Thought:
    letters = dict(zip("ABCD", params["kinds"], strict=True))
    left, top, right, bottom = params["frame"]
    x, y = ((params["hole"][i] + params["hole"][i + 2]) / 2 for i in (0, 1))
    side = "left" if x < (left + right) / 2 else "right"
    half = "upper" if y < (top + bottom) / 2 else "lower"
    where = (f"The middle of the square lies in the {half} half, to the {side}.", f"The square is centred {half} {side}.")
    seen = [where, *([wording.format(letter) for wording in CROPS[kind]] for letter, kind in letters.items())]
    true = params["kinds"].index("true")
    return Thought(
        (
            "I look at what is cut by the square.",
            "The right part must go on with what is around it.",
            "Each option in turn.",
        ),
        seen,
        (f"So {'ABCD'[true]} was there.", f"Only {'ABCD'[true]} fits.", f"The hidden part is {'ABCD'[true]}."),
    )


def _depth(row: Mapping[str, Any], params: Mapping[str, Any]) -> Thought:
    order, asked = params["order"], row["variant"]
    if asked in ("nearest", "farthest"):
        others = [label for label in range(1, len(params["centres"]) + 1) if label not in order]
        pairs = [(order[0], other) if asked == "nearest" else (other, order[0]) for other in others]
        concluded = [f"So place {order[0]} is the {asked}.", f"Of all places, number {order[0]} is the {asked} one."]
    else:
        pairs = list(combinations(order, 2))
        listed = ", then ".join(map(str, order))
        concluded = [f"So from near to far: {listed}.", f"The nearest is {order[0]}; in order: {listed}."]
    return Thought(
        ("I compare the distances from the camera.", "Which places are near, which far?", "I compare them in pairs."),
        [_compare(near, far, params["centres"]) for near, far in pairs],
        concluded,
    )


def _compare(near: int, far: int, centres: Sequence[Sequence[int]]) -> tuple[str, ...]:
    """That one place is nearer than another, and whether its height in the picture would have told so."""
    rise = centres[far - 1][1] - centres[near - 1][1]
    heights = f"it lies {'lower' if rise < 0 else 'higher'} in the picture"
    plain = f"Place {near} is nearer than place {far}"
    turned = f"Place {far} is farther than place {near}"
    if not rise:
        return f"{plain}.", f"{turned}."
    return f"{plain}{', and' if rise < 0 else ', although'} {heights}.", f"{turned}.", f"{plain}."


def _position(row: Mapping[str, Any], params: Mapping[str, Any]) -> Thought:
    turns = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}
    cos, sin = turns[params["view"]]
    pointing = {
        "front": (-sin, cos),
        "back": (sin, -cos),
        "right": (cos, sin),
        "left": (-cos, -sin),
    }
    words = {(1, 0): "right in the picture", (-1, 0): "left in the picture"}
    words |= {(0, 1): "away from the camera", (0, -1): "toward the camera"}
    axes = [pointing[name] for name in params["direction"].split()]
    across, along = (sum(axis[i] for axis in axes) for i in (0, 1))
    seen = [
        (f"For the observer, {name} is {words[pointing[name]]}.", f"The observer's {name} points {words[pointing[name]]}.")
        for name in pointing
    ]
    if across:
        side = "right" if across > 0 else "left"
        seen.append((f"Place 2 is {side} of place 1 in the picture.", f"In the picture, 2 lies to the {side} of 1."))
    if along:
        how = "farther from" if along > 0 else "nearer to"
        seen.append((f"Place 2 is {how} the camera than place 1.", f"Of the two, place 2 is {how} the camera."))
    where = f"place 2 is at the observer's {params['direction']}"
    return Thought(
        ("I stand at place 1 in my mind.", "I turn to where the observer looks.", "Seen from place 1, not from the camera."),
        seen,
        (f"So {where}: {row['answer']}.", f"Therefore {where}, option {row['answer']}."),
    )


def _distance(row: Mapping[str, Any], params: Mapping[str, Any]) -> Thought:
    (a, b, c, d), names = params["points"], ("1 and 2", "3 and 4")
    spans = dict(zip(names, (dist(a, b), dist(c, d)), strict=True))
    longer, shorter = sorted(names, key=lambda name: -spans[name])
    agrees = params["farther"] == longer
    seen = [
        (f"In the picture, {longer} are farther apart than {shorter}.", f"On the picture's plane {shorter} are closer.")
        if spans[longer] > spans[shorter]
        else ("In the picture, both pairs are as far apart.",),
        ("Depth counts too: it is not seen as length.", "A step in depth looks shorter than it is."),
        ("What is far away looks small.", "The same length looks shorter far away."),
    ]
    other = names[1 - names.index(params["farther"])]
    also = "also in space" if agrees else "in space, unlike in the picture,"
    said = f"{also} {params['farther']} are farther apart than {other}"
    return Thought(
        ("I compare lengths in space.", "Each pair has a length in the scene.", "I think of the scene from above."),
        seen,
        (f"So {said}: {row['answer']}.", f"With depth, {params['farther']} are farther apart, option {row['answer']}."),
    )


WRITERS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Thought]] = {
    "shuffle": _shuffle,
    "flip": _flip,
    "crop": _crop,
    "depth": _depth,
    "position": _position,
    "distance": _distance,
}
