import json

import pytest

from spatial_ssrl.evaluate import summarise, wilson
from spatial_ssrl.evaluate.pretext import _repair


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_against_published_values(correct, n, low, high):
    assert wilson(correct, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_of_nothing_says_nothing():
    assert wilson(0, 0) == (0.0, 1.0)


def row(i, task):
    return {"id": str(i), "task": task, "variant": "v", "chance": 0.25}


def test_summaries_count_unparsed_replies_in_the_denominator():
    rows = [row(0, "crop"), row(1, "crop"), row(2, "flip")]
    replies = {
        "0": {"accuracy": 1.0, "format": 1.0, "parsed": "A"},
        "1": {"accuracy": 0.0, "format": 0.0, "parsed": None},
        "2": {"accuracy": 0.0, "format": 1.0, "parsed": "B"},
    }
    summary = summarise(rows, replies)
    crop, flip = summary["scores"]
    assert (crop["accuracy"], crop["unparsed"], crop["format"], crop["n"]) == (0.5, 0.5, 0.5, 2)
    assert (flip["accuracy"], flip["unparsed"]) == (0.0, 0.0)
    assert summary["overall"]["correct"] == 1


def test_a_line_cut_by_a_kill_is_asked_again(tmp_path):
    path = tmp_path / "replies.jsonl"
    whole = json.dumps({"id": "a", "reply": "x"}) + "\n"
    path.write_text(whole + '{"id": "b", "rep')
    assert list(_repair(path)) == ["a"]
    assert path.read_text() == whole
