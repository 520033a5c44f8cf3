"""Runs: what is stored, resumed, retried and scored again."""

import csv
import json

import pytest

from evaluate.helpers import QUIET, Refusing, Scripted
from spatial_ssrl.errors import DatasetError
from spatial_ssrl.evaluate import Results, Settings, evaluate
from spatial_ssrl.evaluate.backends import Decoding, Outcome
from spatial_ssrl.evaluate.benchmarks import BENCHMARKS
from spatial_ssrl.evaluate.replies import read_lines
from spatial_ssrl.evaluate.run import read_verdicts

ROWS = [
    {
        "index": i,
        "image": "A" * 100,
        "question": f"Which? {i}",
        "A": "left",
        "B": "right",
        "answer": "AB"[i % 2],
        "category": "c",
    }
    for i in range(10)
]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "BLINK.tsv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ROWS[0], delimiter="\t")
        writer.writeheader()
        writer.writerows(ROWS)
    return path


def run(table, backend, out, **settings):
    return evaluate(BENCHMARKS["blink"](), table, backend, out, Settings(**settings), QUIET)


def boxed(letter):
    return lambda prompt: f"<think>so</think>\\boxed{{{letter}}}"


def test_scores_and_files(table, tmp_path):
    results = run(table, Scripted(boxed("A")), tmp_path / "out")
    assert (results.overall.n, results.overall.correct, results.overall.unparsed) == (10, 5, 0)
    assert (results.overall.format, results.overall.chance) == (1, 0.5)
    assert Results.read(tmp_path / "out") == results
    assert results.prompt.startswith("<image>Which? 0\nA. left\nB. right\nFirst reason")
    assert results.scored_by.startswith("spatial-ssrl ")
    with (tmp_path / "out" / "predictions.tsv").open(newline="") as file:
        lines = list(csv.DictReader(file, delimiter="\t"))
    assert len(lines) == 10
    expected = {"index": "3", "question": "Which? 3", "A": "left", "B": "right", "answer": "B", "category": "c"}
    assert lines[3] == expected | {"prediction": "<think>so</think>\\boxed{A}"}


def test_a_killed_run_asks_no_question_twice(table, tmp_path):
    def die_at_the_seventh(prompt):
        if "Which? 6" in prompt.text:
            raise KeyboardInterrupt
        return "\\boxed{A}"

    with pytest.raises(KeyboardInterrupt):
        run(table, Scripted(die_at_the_seventh), tmp_path / "out")
    with (tmp_path / "out" / "replies.jsonl").open("a") as file:
        file.write('{"key": "cut off by the ki')
    again = Scripted(boxed("A"))
    run(table, again, tmp_path / "out")
    assert [p.text.split("\n")[0] for p in again.asked] == [f"<image>Which? {i}" for i in range(6, 10)]
    run(table, Refusing(), tmp_path / "out")
    assert len(read_lines(tmp_path / "out" / "replies.jsonl")) == 10


@pytest.mark.parametrize(
    "change",
    [{"mode": "direct"}, {"decoding": Decoding(max_new_tokens=7)}, {"decoding": Decoding(temperature=1.0)}],
)
def test_other_prompts_and_settings_are_asked_anew(table, tmp_path, change):
    run(table, Scripted(boxed("A")), tmp_path / "out")
    other = Scripted(boxed("B"))
    assert run(table, other, tmp_path / "out", **change).overall.correct == 5
    assert len(other.asked) == 10
    run(table, Refusing(), tmp_path / "out")


def test_another_model_or_table_is_asked_anew(table, tmp_path):
    run(table, Scripted(boxed("A")), tmp_path / "out")
    other = Scripted(boxed("A"), "another")
    run(table, other, tmp_path / "out")
    assert len(other.asked) == 10
    table.write_text(table.read_text().replace("Which? 3", "Which? three"))
    edited = Scripted(boxed("A"))
    run(table, edited, tmp_path / "out")
    assert len(edited.asked) == 10


def test_stored_replies_are_scored_again_without_a_model(table, tmp_path):
    robust = run(table, Scripted(lambda p: "The answer is (A)."), tmp_path / "out")
    reference = run(table, Refusing(), tmp_path / "out", policy="reference")
    official = run(table, Refusing(), tmp_path / "out", policy="official")
    assert robust.overall.correct == reference.overall.correct == 5
    assert official.overall.unparsed == 1  # "(A)." is not "(A)" to the authors' rule


def test_errors_stay_in_the_denominator_and_are_retried_on_demand(table, tmp_path):
    places = iter(range(10))

    def every_other(prompt):
        place = next(places)
        return Outcome(place, None, "429: busy") if place % 2 else Outcome(place, "\\boxed{A}")

    results = run(table, Scripted(every_other), tmp_path / "out")
    assert (results.errors, results.overall.n, results.overall.correct) == (5, 10, 5)
    assert run(table, Refusing(), tmp_path / "out").errors == 5
    retry = Scripted(boxed("B"))
    results = run(table, retry, tmp_path / "out", retry_failed=True)
    assert (len(retry.asked), results.errors, results.overall.correct) == (5, 0, 10)


def test_a_broken_surrogate_in_a_reply_is_survived(table, tmp_path):
    run(table, Scripted(lambda p: "\ud83d \\boxed{A}"), tmp_path / "out")
    assert "? \\boxed{A}" in (tmp_path / "out" / "predictions.tsv").read_text()


def test_samples_have_a_mean_and_a_spread(table, tmp_path):
    by_sample = Scripted(lambda p: f"\\boxed{{{'A' if p.sample < 2 or 'Which? 1' in p.text else 'C'}}}")
    results = run(table, by_sample, tmp_path / "out", samples=3, decoding=Decoding(temperature=1.0))
    assert results.headline.samples == (0.5, 0.5, 0.0)
    assert results.headline.value == pytest.approx(1 / 3)
    assert results.headline.spread == pytest.approx(0.28868, abs=1e-5)
    assert results.overall.n == 10
    assert results.overall.unparsed == pytest.approx(9 / 30)
    assert [v.sample for v in read_verdicts(tmp_path / "out")] == [0] * 10 + [1] * 10 + [2] * 10


def test_results_say_what_the_replies_were_asked_with(table, tmp_path):
    asked = run(table, Scripted(boxed("A")), tmp_path / "out", limit=4)
    assert asked.setup == {"asked": 4}
    again = run(table, Refusing(), tmp_path / "out", limit=4, policy="official")
    assert again.setup == {"asked": 4}
    assert run(table, Scripted(boxed("A")), tmp_path / "out").setup == {"asked": 6}


def test_files_beside_a_table_are_told_by_name_and_size(table, tmp_path):
    row = {"question": "Where?", "choices": "A. right\nB. left", "answer": "A. right", "question_type": "camera"}
    (tmp_path / "t.json").write_text(json.dumps([{**row, "image_path": [name]} for name in ("a.jpg", "b.jpg")]))
    hashes = []
    for content in (b"one", b"two", b"three"):
        (tmp_path / "a.jpg").write_bytes(content)
        settings = Settings(limit=1)
        backend = Scripted(boxed("A"))
        results = evaluate(BENCHMARKS["viewspatial"](), tmp_path / "t.json", backend, tmp_path / "out", settings, QUIET)
        hashes.append(results.data.files)
    assert hashes[0] == hashes[1] != hashes[2]
    assert run(table, Scripted(boxed("A")), tmp_path / "embedded").data.files == ""


def test_limit_and_warnings(table, tmp_path):
    results = run(table, Scripted(boxed("A")), tmp_path / "out", limit=4)
    assert results.overall.n == 4
    assert results.data.warnings == ("BLINK: 10 questions, the whole benchmark has 1901",)


def test_a_table_without_pictures_cannot_be_asked(tmp_path):
    rows = [{**row, "image": ""} for row in ROWS]
    (tmp_path / "BLINK.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DatasetError, match="names no pictures, so a model cannot be asked"):
        run(tmp_path / "BLINK.jsonl", Refusing(), tmp_path / "out")


@pytest.mark.parametrize("text", ["[1, 2]\n", "{}\n", '{"id": "a", "reply": "x"}\n', "no json\n"])
def test_a_file_of_something_else_is_refused(table, tmp_path, text):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "replies.jsonl").write_text(text)
    with pytest.raises(DatasetError, match="holds something else than replies"):
        run(table, Refusing(), tmp_path / "out")
