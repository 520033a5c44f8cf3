import json
import shutil
import sys
from html.parser import HTMLParser

import pytest

from spatial_ssrl.audit import Audit, Line
from spatial_ssrl.audit.result import Matches
from spatial_ssrl.build import Recipe, build
from spatial_ssrl.errors import DatasetError, MissingExtraError
from spatial_ssrl.report import write_report
from spatial_ssrl.report.curves import draw_curves, read_series
from spatial_ssrl.report.rows import choose, pick_extremes
from spatial_ssrl.report.samples import spread
from spatial_ssrl.row import read_rows, split_files, write_rows
from spatial_ssrl.tasks import TASKS

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}'&lt;"
VOID = {"meta", "img"}
SECTIONS = {"rows", "counts", "balance", "shortcuts", "margins", "training", "results", "replies"}


class Page(HTMLParser):
    """A page taken apart; a tag closed out of turn is an error."""

    def __init__(self, path):
        super().__init__()
        self.open, self.tags, self.links, self.ids, self.words = [], set(), [], set(), []
        self.source = path.read_text()
        self.feed(self.source)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names))
        assert not [name for name in names if name.startswith("on")]
        self.tags.add(tag)
        self.links += [value for name, value in attributes if name in ("src", "href", "data", "action", "xlink:href")]
        self.ids |= {value for name, value in attributes if name == "id"}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, self.getpos()

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "data"
    splits = {"train": 0.5, "test": 0.5}
    recipe = Recipe.create(None, {"sources": ("synthetic:16?size=160x120",), "n": 66, "profile": "paper", "splits": splits})
    build(recipe, folder, 1, "spatial-ssrl build synthetic:12?size=160x120", lambda made, total: None)
    return folder


def tally(correct, n, **others):
    share = correct / n
    return {"name": "overall", "n": n, "correct": correct, "accuracy": share, "low": share - 0.013, "high": share + 0.017,
            "unparsed": 0.041, "format": 0.9, "chance": 0.25} | others  # fmt: skip


def write_evaluation(folder, name, ids, correct, reply="<think>so</think>\\boxed{A}"):
    out = folder / "eval" / name
    out.mkdir(parents=True)
    scores = [tally(correct, 97, name="crop/square")]
    results = {"model": f"models/{name}", "split": "test", "decoding": {"temperature": 0}, "policy": "robust"}
    (out / "results.json").write_text(json.dumps(results | {"scores": scores, "overall": tally(correct + 5, 211)}))
    lines = [
        {"id": i, "reply": reply, "accuracy": float(k < correct), "format": 1.0, "parsed": None, "why": "wrong"}
        for k, i in enumerate(ids)
    ]
    (out / "verdicts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_training(folder, stage, entries):
    (folder / stage).mkdir()
    (folder / stage / "trainer_state.json").write_text(json.dumps({"log_history": entries}))


@pytest.fixture
def run(dataset, tmp_path):
    """A run folder with everything in it."""
    folder = tmp_path / "run"
    shutil.copytree(dataset, folder / "data")
    ids = [row["id"] for row in read_rows(dataset, "test", ["id"])]
    for name, correct in (("base", 1), ("cold-start", 2), ("grpo", 4), ("another", 0)):
        write_evaluation(folder, name, ids, correct)
    write_training(folder, "cold-start", [{"step": 1, "loss": 3.25}, {"step": 2, "loss": 1.5, "dev/accuracy": 0.31}])
    grpo = [
        {"step": s, "reward": s / 100, "rewards/format/mean": 0.5, "accuracy/crop": 0.5, "kl": float("nan")}
        for s in range(60)
    ]
    write_training(folder, "grpo", grpo)
    return folder


def test_page_is_one_well_formed_file_that_asks_for_nothing_else(run, tmp_path):
    path = write_report(run, tmp_path / "deep" / "report.html")
    page = Page(path)
    assert page.ids == SECTIONS
    assert not page.tags & {"script", "link", "iframe", "object", "embed", "form", "base"}
    pictures = [link for link in page.links if link.startswith("data:image/jpeg;base64,")]
    assert len(pictures) >= 5 * 3 + 3 * 4
    assert {link.lstrip("#") for link in page.links if link not in pictures} == SECTIONS
    assert "http:" not in page.source.lower()
    assert "https:" not in page.source.lower()
    assert "url(" not in page.source
    assert path.stat().st_size < 1_500_000


def test_numbers_are_those_of_the_files(run, tmp_path):
    manifest = json.loads((run / "data" / "manifest.json").read_text())
    manifest["drops"] = {"crop/square": {"too alike": 5}}
    manifest["skipped"] = {"folder:a.png": "too small", "folder:b.png": "too small"}
    (run / "data" / "manifest.json").write_text(json.dumps(manifest))
    text = Page(write_report(run, tmp_path / "report.html")).text
    made = sum(counts.get("crop/square", 0) for counts in manifest["counts"].values())
    assert f"crop/square too alike 5 {500 / (5 + made):.1f}%" in text
    assert "too small: 2 folder:a.png, folder:b.png" in text
    train, test = (sum(manifest["counts"][split].values()) for split in ("train", "test"))
    assert f"{train} train, {test} test {train + test} rows 16 scenes" in text.replace("in the sources ", "")
    for correct in (0, 1, 2, 4):
        share = 100 * correct / 97
        assert f"{share:.1f}% {correct} of 97 {share - 1.3:.1f}% to {share + 1.7:.1f}% 4.1% unparsed" in text
    assert f"+{200 / 211:.1f} points" in text
    assert f"Cold start {700 / 211:.1f}%, GRPO {900 / 211:.1f}%" in text
    assert "Loss 3.25 → 1.5" in text
    assert "Reward 0.015 → 0.57" in text
    assert "Well-formed replies 50% → 50%" in text
    assert "KL divergence" not in text
    assert manifest["fingerprint"] in text
    assert manifest["command"] in text


def test_examples_show_question_answer_and_pictures_of_their_row(dataset, tmp_path):
    text = Page(write_report(dataset, tmp_path / "report.html")).text
    rows = list(read_rows(dataset, "test"))
    for task in TASKS:
        first = next(row for row in rows if row["task"] == task)
        answer = first["answer"]
        if first["options"]:
            answer += f" ({first['options']['ABCD'.index(answer)]})"
        question = " ".join(line for line in first["problem"].split("\n") if not line.endswith("<image>"))
        assert f"{question} Show answer {answer} Margin {first['margin']:.3g}, at least" in text


def test_hostile_text_is_shown_and_not_obeyed(run, tmp_path):
    (path,) = split_files(run / "data", "test")
    rows = [{**row, "problem": row["problem"] + HOSTILE, "source": HOSTILE} for row in read_rows(run / "data", "test")]
    write_rows(rows, path)
    manifest = json.loads((run / "data" / "manifest.json").read_text())
    hostile = {"command": HOSTILE, "skipped": {HOSTILE: HOSTILE}, "unserved": [HOSTILE], "drops": {HOSTILE: {HOSTILE: 1}}}
    (run / "data" / "manifest.json").write_text(json.dumps(manifest | hostile))
    write_evaluation(run, "<b onclick=x>", [row["id"] for row in rows], 1, HOSTILE)
    page = Page(write_report(run, tmp_path / "report.html"))
    assert not page.tags & {"script", "b onclick"}
    assert "x" not in page.links
    assert page.text.count(HOSTILE) >= 5 * 3 + 5


@pytest.mark.parametrize(
    ("kept", "sections"),
    [
        (["data"], {"rows", "counts", "balance", "shortcuts", "margins"}),
        (["grpo"], {"training"}),
        (["cold-start", "eval"], {"training", "results", "replies"}),
    ],
)
def test_sections_appear_where_their_files_are(run, tmp_path, kept, sections):
    for folder in run.iterdir():
        if folder.name not in kept:
            shutil.rmtree(folder)
    assert Page(write_report(run, tmp_path / "report.html")).ids == sections


def test_evaluation_without_replies_or_of_one_model_is_enough(run, tmp_path):
    for folder in (run / "eval").iterdir():
        (folder / "verdicts.jsonl").unlink()
    shutil.rmtree(run / "eval" / "cold-start")
    page = Page(write_report(run, tmp_path / "report.html"))
    assert page.ids == SECTIONS - {"replies"}
    assert "Base 2.8%, GRPO 4.3%" in page.text


def test_errors_say_what_is_wrong(run, tmp_path, monkeypatch):
    with pytest.raises(
        DatasetError, match=r"nothing to report; expected data/manifest\.json .* build, train or evaluate first"
    ):
        write_report(tmp_path / "nowhere", tmp_path / "report.html")
    results = run / "eval" / "base" / "results.json"
    results.write_text('{"model": "m"}')
    with pytest.raises(DatasetError, match=r"base/results\.json is damaged: it lacks split, decoding,"):
        write_report(run, tmp_path / "report.html")
    results.write_text("{")
    with pytest.raises(DatasetError, match=r"base/results\.json is damaged: .*; write it again"):
        write_report(run, tmp_path / "report.html")
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"spatial-ssrl\[report\]"):
        write_report(run, tmp_path / "report.html")


def test_examples_differ_in_variant_then_level_then_scene():
    kinds = [("a", 1, "s"), ("a", 1, "t"), ("b", 1, "s"), ("c", 2, "s"), ("c", 2, "t")]
    rows = [{"id": str(i), "variant": v, "level": level, "scene_id": s} for i, (v, level, s) in enumerate(kinds)]
    assert [row["id"] for row in choose(rows, 3)] == ["0", "2", "4"]
    assert [row["id"] for row in choose(rows[:2], 3)] == ["0", "1"]


def test_curves_are_averaged_within_the_chart():
    history = [{"step": s, "reward": 0.4 + 0.2 * (s % 2), "loss": -s, "text": "x"} for s in range(2000)]
    reward = next(curve for curve in draw_curves(read_series(history)) if curve.title == "Reward")
    assert len(reward.values) == 300
    assert reward.smooth == pytest.approx(0.5, abs=0.02)
    assert reward.range == (0, pytest.approx(0.6))
    (single,) = draw_curves(read_series([{"step": 7, "accuracy/flip": 0.25}]))
    assert single.title == "Accuracy, flip"
    assert [label for _, label in single.ticks] == ["0%", "50%", "100%"]


def write_audit(dataset):
    """Crop is solved by one solver of three; flip is not; no other variant was audited."""
    reached = [("crop", "border", "logit", 0.7), ("crop", "border", "best cue", 0.6), ("crop", "edges", "logit", 0.3)]
    lines = tuple(
        Line(task, "square" if task == "crop" else "2x2", solver, head, 120, share, share - 0.05, share + 0.05, 0.25, 0.25,
             share - 0.25, 0.15)
        for task, solver, head, share in [*reached, ("flip", "look", "logit", 0.262)]
    )  # fmt: skip
    audited = {"crop/square": 120, "flip/2x2": 120}
    audit = Audit("spatial-ssrl audit", str(dataset), 66, audited, lines, Matches(16, 2, 1, ()), None, (), ())
    audit.write(dataset / "audit.json")
    return audit


def test_an_audit_shows_the_strongest_solvers_and_the_word_of_the_gate(run, tmp_path):
    audit = write_audit(run / "data")
    text = Page(write_report(run, tmp_path / "report.html")).text
    assert "1 of 2 variants pass" in text
    assert f"crop/square fails {audit.failures[0].removeprefix('crop/square: ')}" in text
    assert "flip/2x2 passes 120 rows. Chance 25.0%, limit 40.0%. look logit 26.2% 21% to 31%" in text
    assert (
        "border logit 70.0% 65% to 75% edges logit 30.0% 25% to 35% 0% 25% 50% 75% 100% 1 weaker attacks border best cue"
        in text
    )
    assert "Of 16 pictures, 2 pairs within a split and 1 pairs across splits are nearly the same" in text


def test_without_an_audit_the_page_says_how_to_get_one(dataset, tmp_path):
    text = Page(write_report(dataset, tmp_path / "report.html")).text
    assert f"Not audited yet: spatial-ssrl audit {dataset} measures" in text


@pytest.mark.parametrize("content", ["{", "[]", '{"lines": []}'])
def test_a_broken_audit_is_told(run, tmp_path, content):
    (run / "data" / "audit.json").write_text(content)
    with pytest.raises(DatasetError, match=r"audit\.json is not an audit; run `spatial-ssrl audit` again"):
        write_report(run, tmp_path / "report.html")


def test_the_least_and_the_most_decided_rows_are_shown(dataset, tmp_path):
    text = Page(write_report(dataset, tmp_path / "report.html")).text
    rows = [row for split in ("train", "test") for row in read_rows(dataset, split) if row["variant"] == "square"]
    margins = sorted(row["margin"] for row in rows)
    shown = text[text.index("Least and most decided") :]
    shown = shown[shown.index("crop/square") :]
    places = [shown.index(f"{word} decided Margin {value:.3g} , at least") for word, value in
              zip(("Least", "Next least", "Next most", "Most"), (*margins[:2], *margins[-2:]), strict=True)]  # fmt: skip
    assert places == sorted(places)


def test_extremes_do_not_overlap():
    rows = [{"id": str(i), "margin": m} for i, m in enumerate((3, 1, 2))]
    assert [[row["margin"] for row in part] for part in pick_extremes(rows, 2)] == [[1, 2], [3]]


WHY = {0.0: "wrong", 0.1: "wrong", 1.0: "right"}


def write_samples(run):
    """Three steps; of each, a puzzle on which replies agree and one on which they do not."""
    rows = list(read_rows(run / "data", "train", ["id", "task", "variant", "answer"]))[:2]
    (run / "grpo" / "replies").mkdir()
    for step in (0, 20, 40):
        lines = [
            {
                **row,
                "reply": f"{step}-{number}-{reward}",
                "reward": reward,
                "parsed": None,
                "why": "right" if reward else "wrong",
            }
            for number, (row, rewards) in enumerate(zip(rows, [(0.1, 0.1), (0.0, 1.0, 1.0)], strict=True))
            for reward in rewards
        ]
        (run / "grpo" / "replies" / f"step-{step:06d}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return rows


def test_replies_sampled_while_training_stand_beside_their_puzzle(run, tmp_path):
    without = len(Page(write_report(run, tmp_path / "report.html")).links)
    _, divided = write_samples(run)
    page = Page(write_report(run, tmp_path / "report.html"))
    assert page.ids == SECTIONS | {"samples"}
    assert len(page.links) >= without + 1 + 3, "a picture a step"
    for step in (0, 20, 40):
        assert f"Step {step}: 2 of 3 replies reward 1.00 ✓ right {step}-1-1.0 reward 0.00 ✗ wrong {step}-1-0.0" in page.text
    assert "0-0-0.1" not in page.text, "all the same"
    assert f"{divided['task']}/{divided['variant']} answer {divided['answer']}" in page.text


def test_damaged_samples_are_told(run, tmp_path):
    write_samples(run)
    (run / "grpo" / "replies" / "step-000020.jsonl").write_text("{")
    with pytest.raises(DatasetError, match=r"step-000020\.jsonl is damaged: .*; remove it, or train again"):
        write_report(run, tmp_path / "report.html")


def test_of_many_samples_a_few_are_shown(tmp_path):
    paths = [tmp_path / str(i) for i in range(11)]
    assert [int(path.name) for path in spread(paths, 4)] == [0, 3, 7, 10]
    assert spread(paths[:2], 4) == paths[:2]
