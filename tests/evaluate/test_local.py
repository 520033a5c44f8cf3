"""All benchmarks through the command line with a tiny model: in this process, and behind a server."""

import base64
import io
import json
import os
import threading
from importlib.metadata import version

import pytest
from PIL import Image

from conftest import run_cli
from evaluate.faults import FaultyServer
from evaluate.helpers import QUIET
from evaluate.miniatures import choice_tsv, encoded, write_all, write_video
from spatial_ssrl.evaluate import BENCHMARKS, GENERAL, SPATIAL, Results, Settings, evaluate
from spatial_ssrl.evaluate.backends import Decoding, in_halves
from spatial_ssrl.evaluate.backends.local import Local
from spatial_ssrl.evaluate.backends.server import Server
from spatial_ssrl.evaluate.run import read_verdicts

pytest.importorskip("torch")
pytest.importorskip("av")
NAMES = {kind.name for kind in (*SPATIAL, *GENERAL)}


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    """Name and table of every benchmark in every form, with its videos."""
    folder = tmp_path_factory.mktemp("tables")
    cases = write_all(folder)
    for place in (folder, folder / "VSI-Bench"):
        write_video(place / "arkitscenes" / "1.mp4")
    return folder, [(name, path) for name, path, _ in cases]


@pytest.fixture(scope="module")
def tables(forms):
    return forms[0]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from spatial_ssrl.train.tiny import make_tiny

    os.environ["HF_HUB_OFFLINE"] = "1"
    out = tmp_path_factory.mktemp("model")
    make_tiny("qwen3_vl", ["Which one is left of it? Answer A, B, C or D."] * 50, None, 0, out)
    return out


def results_of(out):
    found = {path.parts[-3:-1]: json.loads(path.read_text()) for path in out.rglob("results.json")}
    return {f"{name}/{mode}": results for (name, mode), results in found.items()}


def test_transformers_in_this_process(tables, model, tmp_path):
    command = ("eval", model, "--suite", "all", "--tables", tables, "--out", tmp_path, "--mode", "both")
    options = ("--max-new-tokens", 3, "--frames", 2)
    done = run_cli(*command, *options)
    assert done.returncode == 0, done.stderr
    found = results_of(tmp_path)
    assert set(found) == {f"{name}/{mode}" for name in NAMES for mode in ("direct", "reasoning")}
    assert {results["errors"] for results in found.values()} == {0}
    assert "warning: BLINK: 4 questions, the whole benchmark has 1901" in done.stderr
    assert "3DSRBench" not in done.stderr
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("replies.jsonl")}
    again = run_cli(*command, *options, "--policy", "official")
    assert again.returncode == 0, again.stderr
    unread = "Spatial457, QSpatial+, VSI-Bench, BLINK, ChartQA test do not look into the box"
    assert again.stderr.count(f"warning: the official rules of {unread}") == 1
    assert "official rules" not in done.stderr
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_a_model_says_the_same_behind_a_faulty_server(tables, model, tmp_path):
    from spatial_ssrl import vlm

    loaded, processor = vlm.load(model)
    one_at_a_time = threading.Lock()

    def answer(text, images):
        rows = [{"problem": "<image>" * len(images) + text, "images": [{"bytes": decode(url)} for url in images]}]
        with one_at_a_time:
            return next(vlm.generate(loaded, processor, rows, max_new_tokens=4, instruction=""))

    suite = ("--suite", "blink,hallusionbench,vsi-bench", "--tables", tables, "--max-new-tokens", 4, "--frames", 2)
    local = run_cli("eval", model, *suite, "--out", tmp_path / "local")
    faults = (429, 500, "cut", "malformed")
    plan = lambda text, attempt: faults[len(text) % 4] if attempt == 1 else None  # noqa: E731
    with FaultyServer(answer, plan) as server:
        served = run_cli("eval", "tiny", *suite, "--out", tmp_path / "served", "--base-url", server.url)
    assert (local.returncode, served.returncode) == (0, 0), local.stderr + served.stderr
    for path in (tmp_path / "local").rglob("verdicts.jsonl"):
        other = tmp_path / "served" / path.relative_to(tmp_path / "local")
        replies = [[json.loads(line)["reply"] for line in p.read_text().splitlines()] for p in (path, other)]
        assert replies[0] == replies[1]
        assert None not in replies[0]


def test_every_form_is_asked_in_this_process_and_of_a_server(forms, model, tmp_path):
    settings = Settings(limit=2, decoding=Decoding(max_new_tokens=3, frames=2))
    with FaultyServer(lambda text, images: "\\boxed{A}") as server:
        for backend in (Local(str(model)), Server("tiny", server.url)):
            for k, (name, path) in enumerate(forms[1]):
                out = tmp_path / type(backend).__name__ / str(k)
                results = evaluate(BENCHMARKS[name](), path, backend, out, settings, QUIET)
                assert (results.errors, results.overall.n) == (0, min(2, results.data.questions)), path
    assert len(forms[1]) == 30


def test_a_damaged_picture_is_an_error_of_its_row(model, tmp_path):
    for damaged in (encoded(0)[:400], base64.b64encode(b"no picture" * 20).decode()):
        choice_tsv(tmp_path / "BLINK.tsv", 4, image=lambda i, damaged=damaged: damaged if i == 2 else encoded(i))
        settings = Settings(decoding=Decoding(max_new_tokens=2))
        results = evaluate(
            BENCHMARKS["blink"](), tmp_path / "BLINK.tsv", Local(str(model)), tmp_path / "out", settings, QUIET
        )
        assert results.errors == 1


def test_a_picture_that_the_processor_refuses_is_an_error_of_its_row(model, tmp_path):
    thin = io.BytesIO()
    Image.new("RGB", (1000, 3), "red").save(thin, "PNG")
    images = [encoded(i) for i in range(6)]
    images[2] = base64.b64encode(thin.getvalue()).decode()
    choice_tsv(tmp_path / "BLINK.tsv", 6, image=lambda i: images[i])
    settings = Settings(decoding=Decoding(max_new_tokens=4))
    evaluate(BENCHMARKS["blink"](), tmp_path / "BLINK.tsv", Local(str(model)), tmp_path / "out", settings, QUIET)
    setup = Results.read(tmp_path / "out").setup
    assert (setup["transformers"], setup["dtype"]) == (version("transformers"), "torch.float32")
    assert setup["picture_size"] == {"shortest_edge": 3136, "longest_edge": 12544}
    verdicts = read_verdicts(tmp_path / "out")
    assert [v.id for v in verdicts if v.error] == ["2"]
    assert verdicts[2].error.startswith("ValueError: absolute aspect ratio must be smaller than 200")
    assert {type(v.reply) for v in verdicts if not v.error} == {str}


def test_a_call_that_fails_is_made_in_halves():
    asked = []

    def call(rows):
        asked.append(len(rows))
        if len(rows) > 4 or 5 in rows:
            raise MemoryError("too many")
        return [str(row) for row in rows]

    found = list(in_halves(list(enumerate(range(8))), call, lambda error: False))
    assert [outcome.reply for outcome in found] == ["0", "1", "2", "3", "4", None, "6", "7"]
    assert found[5].error == "MemoryError: too many"
    assert asked == [8, 4, 4, 2, 1, 1, 2]
    with pytest.raises(MemoryError):
        list(in_halves(list(enumerate(range(8))), call, lambda error: True))


def test_a_sample_asked_later_is_another(model, tmp_path):
    choice_tsv(tmp_path / "BLINK.tsv", 4)
    backend = Local(str(model))
    for samples in (1, 2):
        settings = Settings(samples=samples, decoding=Decoding(max_new_tokens=8, temperature=1.0))
        evaluate(BENCHMARKS["blink"](), tmp_path / "BLINK.tsv", backend, tmp_path / "out", settings, QUIET)
    replies = [verdict.reply for verdict in read_verdicts(tmp_path / "out")]
    assert replies[:4] != replies[4:]


def decode(url):
    return base64.b64decode(url.partition(",")[2])


def test_a_server(tables, tmp_path):
    with FaultyServer(lambda text, images: "\\boxed{A}", lambda text, attempt: 429 if attempt == 1 else None) as server:
        done = run_cli("eval", "tiny", "--suite", "all", "--tables", tables, "--out", tmp_path, "--base-url", server.url)
    assert done.returncode == 0, done.stderr
    assert set(results_of(tmp_path)) == {f"{name}/reasoning" for name in NAMES}
    table = run_cli("table", tmp_path, "--paper")
    assert table.returncode == 0, table.stderr
    assert "| Spatial-SSRL-7B (published) | 53.34 | 56.53 |" in table.stdout
    tex = run_cli("table", tmp_path, "--paper", "--latex")
    assert "Spatial-SSRL-4B, What'sUp & -1.34 & 0.068 & 0.00098 & open \\\\" in tex.stdout, tex.stderr
    same = run_cli("compare", tmp_path, tmp_path)
    assert same.returncode == 0, same.stderr
    assert "+0.00" in same.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("--suite", "imagenet"), "no benchmark 'imagenet'"), (("--suite", "blink"), "holds no table of BLINK"),
     ((), "nothing to ask"), (("--suite", "blink", "--samples", "3"), "need --temperature above 0")],
)  # fmt: skip
def test_mistakes_end_in_a_message(arguments, said, tmp_path):
    done = run_cli("eval", "m", "--out", tmp_path / "out", "--tables", tmp_path, *arguments)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
