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


ORDERS = st.permutations(range(4)).map(lambda order: "-".join(map(str, order)))
FORMS_OF_REPLY = [
    "<think>so</think>\\boxed{{{}}}",
    "\\boxed{{{}}}",
    "<think>so</think>\\boxed{{{}}} and that is it",
    "<think>\\boxed{{{0}}}</think>\\boxed{{{0}}} \\boxed{{{0}}}",
]


def in_place(said, answer):
    return sum(a == b for a, b in zip(said.split("-"), answer.split("-"), strict=True))


@given(ORDERS, ORDERS, st.sampled_from(["robust", "exact"]))
def test_partial_credit_is_what_lies_in_place_beyond_a_random_order(said, answer, policy):
    row = {"answer": answer, "grammar": "permutation:4", "options": None}
    reply = FORMS_OF_REPLY[0].format(said)
    earned = score(reply, row, policy, partial=True).total
    expected = 1.0 if said == answer else 0.9 * max(0, in_place(said, answer) - 1) / 3
    assert earned == pytest.approx(expected)
    assert score(reply, row, policy).total == pytest.approx(1.0 if said == answer else 0.1), "it is off by default"


@given(
    ORDERS, st.lists(st.tuples(ORDERS, st.sampled_from(FORMS_OF_REPLY)), min_size=2), st.sampled_from(["robust", "exact"])
)
def test_where_all_fail_the_form_has_no_gradient(answer, group, policy):
    """Rewards of wrong replies are equal where as much is in place, whatever their form."""
    row = {"answer": answer, "grammar": "permutation:4", "options": None}
    failed = [(said, score(form.format(said), row, policy, partial=True)) for said, form in group]
    rewards = {}
    for said, s in failed:
        if not s.accuracy:
            rewards.setdefault(max(1, in_place(said, answer)), set()).add(round(s.total, 9))
    assert all(len(values) == 1 for values in rewards.values())
    for nonsense in ("", "<think>so</think>", "\\boxed{0-0-0-0}", "<think>so</think>\\boxed{perhaps}"):
        assert score(nonsense, row, policy, partial=True).total == 0, "as what is no better than chance"


@pytest.mark.parametrize("spec", [s for s in SPECS if not s.startswith("permutation")])
def test_other_forms_have_no_partial_credit(spec):
    first, *others = Grammar.from_spec(spec).answers()
    row = {"answer": first, "grammar": spec, "options": None}
    assert score(FORMS_OF_REPLY[0].format(first), row, partial=True).total == 1
    assert {score(FORMS_OF_REPLY[0].format(other), row, partial=True).total for other in others} == {0}
