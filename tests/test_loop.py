"""The whole loop through the command line, with a model and a number of steps that a test can afford."""

import json

import pytest

STEPS, ROWS = 2, 60


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    pytest.importorskip("trl")
    from conftest import run_cli

    out = tmp_path_factory.mktemp("loop") / "demo"
    done = run_cli("demo", "--out", out, "--n", ROWS, "--steps", STEPS)
    assert done.returncode == 0, done.stderr
    return out, done


def test_it_ends_with_the_path_of_the_report(run):
    out, done = run
    assert done.stdout.rstrip().endswith(str(out / "report.html"))
    assert "<html" in (out / "report.html").read_text()[:200]


def test_three_models_are_scored_on_the_same_rows(run):
    out, _ = run
    results = [json.loads((out / "eval" / name / "results.json").read_text()) for name in ("base", "cold-start", "grpo")]
    assert len({r["rows"] for r in results}) == 1
    for result in results:
        assert sum(s["n"] for s in result["scores"]) == result["overall"]["n"] > 0
        for s in [*result["scores"], result["overall"]]:
            assert 0 <= s["low"] <= s["accuracy"] <= s["high"] <= 1
            assert 0 <= s["unparsed"] <= 1


def test_training_logs_accuracy_by_task_and_format(run):
    out, _ = run
    log = json.loads((out / "grpo" / "trainer_state.json").read_text())["log_history"]
    keys = {key for entry in log for key in entry}
    assert {"reward", "format", "unparsed", "dev/accuracy", "accuracy/shuffle"} <= keys


def test_a_second_run_asks_and_trains_nothing_again(run, cli):
    out, _ = run
    kept = {p: p.stat().st_mtime_ns for p in out.rglob("*.safetensors")} | {
        p: p.stat().st_mtime_ns for p in out.rglob("replies.jsonl")
    }
    done = cli("demo", "--out", out, "--n", ROWS, "--steps", STEPS)
    assert done.returncode == 0, done.stderr
    assert {p: p.stat().st_mtime_ns for p in kept} == kept


def test_a_model_that_is_not_there_ends_in_a_message(run, tmp_path, cli):
    out, _ = run
    done = cli("eval", tmp_path / "nowhere", "--data", out / "data", "--out", tmp_path / "eval")
    assert done.returncode == 2
    assert "no vision-language model can be loaded" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_split_that_is_not_there_ends_in_a_message(run, tmp_path, cli):
    out, _ = run
    done = cli("eval", out / "grpo" / "model", "--data", out / "data", "--out", tmp_path / "eval", "--split", "exam")
    assert done.returncode == 2
    assert "no split 'exam'" in done.stderr
