import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatial_ssrl.grammar import FORMS, Grammar, Reply
from spatial_ssrl.reward import score

SPECS = [f"{form}:4" for form in FORMS]
ROW = {"answer": "C", "grammar": "letter:4", "options": ["front", "back", "left", "right"]}


@pytest.mark.parametrize(
    ("reply", "robust", "exact"),
    [
        (r"<think>so</think>\boxed{C}", 1.0, 1.0),
        (r"<think>so</think>\boxed{C (Left)}", 1.0, 0.1),
        (r"<think>so</think>\boxed{left}", 1.0, 0.1),
        (r"<think>so</think>\boxed{c}", 1.0, 0.1),
        (r"<think>so</think>\boxed{A}", 0.1, 0.1),
        (r"\boxed{C}", 0.9, 0.9),
        (r"<think>\boxed{C}</think>A", 0.0, 0.9),
        (r"<think>so</think>C", 0.0, 0.0),
        (r"<think>so</think>\boxed{A} or \boxed{C}", 0.9, 1.0),
        ("", 0.0, 0.0),
    ],
)
def test_totals(reply, robust, exact):
    assert score(reply, ROW).total == pytest.approx(robust)
    assert score(reply, ROW, policy="exact").total == pytest.approx(exact)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (r"\boxed{C}", "right"),
        (r"\boxed{D}", "wrong"),
        (r"\boxed{perhaps}", "box is not of the form letter:4"),
        ("C", "no box outside the thinking"),
    ],
)
def test_why(reply, why):
    assert score(reply, ROW).why == why


@pytest.mark.parametrize(
    "text",
    [
        " " * 1_000_000,
        "<think>" * 150_000,
        "</think>" * 150_000,
        r"\boxed{" * 150_000,
        r"\boxed" + " " * 1_000_000,
        r"\boxed" * 150_000,
        "{" * 500_000 + "}" * 500_000,
        r"\boxed{" + "1-" * 500_000 + "}",
        r"\boxed{" + " " * 1_000_000 + "}",
        r"\boxed{" + "answer is " * 100_000 + "}",
        r"\boxed{A" + "(" * 1_000_000 + "}",
    ],
)
@pytest.mark.parametrize("spec", SPECS)
def test_a_million_characters_are_scored_at_once(text, spec):
    """A quadratic step would run into the suite's time-out (10^12 operations)."""
    row = {"answer": list(Grammar.from_spec(spec).answers())[-1], "grammar": spec, "options": None}
    for policy in ("robust", "exact"):
        assert score(text, row, policy).accuracy == 0


PIECES = [*"ABCDabc 0123-,.()*$\\{}<>/", "<think>", "</think>", "\\boxed{", "left"]


@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
def test_any_text_is_scored_and_the_reward_is_bounded(text):
    for spec in SPECS:
        row = {"answer": next(Grammar.from_spec(spec).answers()), "grammar": spec, "options": None}
        for policy in ("robust", "exact"):
            assert 0 <= score(text, row, policy).total <= 1
        parsed = Reply.from_text(text).parse(Grammar.from_spec(spec))
        assert parsed is None or parsed in set(Grammar.from_spec(spec).answers())
