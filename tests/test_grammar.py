import pytest

from spatial_ssrl.errors import GrammarError
from spatial_ssrl.grammar import Grammar, Reply, find_boxes

SIDES = ["left", "right", "front", "back"]


@pytest.mark.parametrize(
    ("spec", "text", "options", "parsed"),
    [
        ("letter:4", "C", None, "C"),
        ("letter:4", " c ", None, "C"),
        ("letter:4", "C.", None, "C"),
        ("letter:4", "(C)", None, "C"),
        ("letter:4", "C)", None, "C"),
        ("letter:4", "**C**", None, "C"),
        ("letter:4", r"\text{C}", None, "C"),
        ("letter:4", r"$\mathrm{C}$", None, "C"),
        ("letter:4", "Ｃ", None, "C"),  # noqa: RUF001
        ("letter:4", "Answer: C", None, "C"),
        ("letter:4", "Option C", None, "C"),
        ("letter:4", "A. left", SIDES, "A"),
        ("letter:4", "A (Left)", SIDES, "A"),
        ("letter:4", "A left", SIDES, "A"),
        ("letter:4", "left", SIDES, "A"),
        ("letter:4", "Back.", SIDES, "D"),
        ("letter:4", "B. left", SIDES, None),
        ("letter:4", "left or right", SIDES, None),
        ("letter:4", "E", None, None),
        ("letter:4", "a cat", None, None),
        ("letter:4", "A or B", None, None),
        ("letter:4", "AB", None, None),
        ("letter:4", "", SIDES, None),
        ("permutation:4", "3-1-2-0", None, "3-1-2-0"),
        ("permutation:4", "3 - 1 - 2 - 0", None, "3-1-2-0"),
        ("permutation:4", "3,1,2,0", None, "3-1-2-0"),
        ("permutation:4", "[3, 1, 2, 0]", None, "3-1-2-0"),
        ("permutation:4", r"3 \to 1 \to 2 \to 0", None, "3-1-2-0"),
        ("permutation:4", "3\u20131\u20132\u20130", None, "3-1-2-0"),
        ("permutation:4", "３－１－２－０", None, "3-1-2-0"),  # noqa: RUF001
        ("permutation:4", "3120", None, "3-1-2-0"),
        ("permutation:4", "3-1-2", None, None),
        ("permutation:4", "3-1-2-2", None, None),
        ("permutation:4", "3-1-2-4", None, None),
        ("permutation:4", "3-1-2-0-0", None, None),
        ("permutation:4", "-3-1-2-0", None, "3-1-2-0"),
        ("permutation:4", "3.1-2-0", None, None),
        ("permutation:3:1", "2 < 1 < 3", None, "2-1-3"),
        ("permutation:3:1", "0-1-2", None, None),
        ("label:4:1", "3", None, "3"),
        ("label:4:1", "Number 3.", None, "3"),
        ("label:4:1", r"\text{place } 3", None, "3"),
        ("label:4:1", "0", None, None),
        ("label:4:1", "5", None, None),
        ("label:4:1", "1-3", None, None),
        ("label:4:1", "3, the red one", None, None),
        ("label-direction:4", "2-1", None, "2-1"),
        ("label-direction:4", "2-vertical", None, "2-0"),
        ("label-direction:4", "2, horizontally", None, "2-1"),
        ("label-direction:4", "(2, 1)", None, "2-1"),
        ("label-direction:4", "21", None, "2-1"),
        ("label-direction:4", "4-1", None, None),
        ("label-direction:4", "2-2", None, None),
        ("label-direction:4", "2", None, None),
    ],
)
def test_parse(spec, text, options, parsed):
    assert Grammar.from_spec(spec).parse(text, options) == parsed


@pytest.mark.parametrize("spec", ["letter:4", "permutation:4", "permutation:3:1", "label-direction:4"])
def test_every_canonical_answer_parses_to_itself(spec):
    grammar = Grammar.from_spec(spec)
    answers = list(grammar.answers())
    assert grammar.spec == spec
    assert len(set(answers)) == grammar.size
    assert [grammar.parse(a) for a in answers] == answers


@pytest.mark.parametrize("spec", ["", "letter", "letter:x", "letter:4:4", "word:3"])
def test_unknown_forms_are_refused(spec):
    with pytest.raises(GrammarError, match="known: letter, permutation, label, label-direction"):
        Grammar.from_spec(spec)


@pytest.mark.parametrize(
    ("text", "contents"),
    [
        (r"\boxed{A}", ["A"]),
        (r"\boxed{A} then \boxed{B", ["A"]),
        (r"\boxed{\text{A}}", [r"\text{A}"]),
        (r"\boxed{a} \boxed{b}", ["a", "b"]),
        (r"{\boxed{a}}", ["a"]),
        (r"\boxed{\{a\}}", [r"\{a\}"]),
        (r"\boxed {a}", ["a"]),
        ("boxed{a}", []),
    ],
)
def test_boxes(text, contents):
    assert [text[a:b] for a, b in find_boxes(text)] == contents


@pytest.mark.parametrize(
    ("text", "thinking", "boxes", "well_formed"),
    [
        (r"<think>because</think>\boxed{A}", "because", ("A",), True),
        ("<think>because</think>\nIt is $\\boxed{A}$.\n", "because", ("A",), True),
        (r"<think>\boxed{B}</think>\boxed{A}", r"\boxed{B}", ("A",), True),
        (r"<think></think>\boxed{A}", "", ("A",), False),
        (r"<think>because</think>\boxed{A} and more", "because", ("A",), False),
        (r"<think>because</think>\boxed{A}\boxed{A}", "because", ("A", "A"), False),
        (r"<think>a</think><think>b</think>\boxed{A}", "a</think><think>b", ("A",), False),
        (r"<think>never closed \boxed{A}", r"never closed \boxed{A}", (), False),
        (r"because</think>\boxed{A}", "because", ("A",), False),
        (r"\boxed{A}", None, ("A",), False),
        (r"x <think>because</think>\boxed{A}", "x <think>because", ("A",), False),
        ("", None, (), False),
    ],
)
def test_replies_are_taken_apart(text, thinking, boxes, well_formed):
    reply = Reply.from_text(text)
    assert (reply.boxes, reply.well_formed) == (boxes, well_formed)
    assert (reply.thinking or "").removeprefix("<think>") == (thinking or "")
