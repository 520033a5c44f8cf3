"""Benchmarks fetched from a Hub on this machine by huggingface_hub itself."""

import io
import json
import os
import zipfile

import pytest

from conftest import run_cli
from evaluate.faults import FaultyServer
from evaluate.hub import REVISION, Hub
from evaluate.miniatures import COLOURS, embedded, picture, write_video
from spatial_ssrl.evaluate import GENERAL, SPATIAL

pytest.importorskip("huggingface_hub")
pytest.importorskip("openai")


def packed(**files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def table(rows):
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    return stream.getvalue()


@pytest.fixture
def repositories(tmp_path):
    """Every repository that is fetched, files laid out as there, a question or two in each."""
    pytest.importorskip("av")
    write_video(tmp_path / "1.mp4")
    video = (tmp_path / "1.mp4").read_bytes()
    choices = {f"choice_{letter}": colour for letter, colour in zip("ABCD", COLOURS, strict=True)}
    tsv = "index\tqid\timage_url\tquestion\tA\tB\tanswer\tcategory\timage\n"
    tsv += f"0\t00000001\tu\tWhich?\tx\ty\tA\theight\t{'A' * 100}\n"
    hallusion = {"category": "VS", "subcategory": "chart", "visual_input": "1", "set_id": "0", "figure_id": "1"}
    hallusion |= {"question_id": "0", "question": "Is it?", "gt_answer": "1", "filename": "./VS/x.png"}
    view = {"question_type": "Camera perspective", "question": "Where?", "answer": "B. b", "choices": "A. a\nB. b"}
    sight = {"dataset": "arkitscenes", "scene_name": "1", "question_type": "object_counting", "question": "How many?"}
    ocr = {"dataset": "IIIT5K", "question": "what?", "question_type": "Text", "answer": ["CENTRE"], "image": embedded(0)}
    qspatial = {"question": "How wide?", "answer_value": 1.5, "answer_unit": "meters", "question_type": "width"}
    maze = {"id": "mazenav.vqa.0", "image": embedded(0), "text": "Q?\nA. a\nB. b", "oracle_option": "B"}
    blink = {"idx": "val_Depth_1", "sub_task": "Depth", "question": "Which?", "answer": "(B)", "choices": ["a", "b"]}
    chart = {"image": embedded(0), "query": "How much?", "label": ["14"], "human_or_machine": 0}
    seed = {"answer": "D", **choices, "data_id": "text_rich/1.png", "question": "Which?", "question_id": "1"}
    scene = {"image_filename": "a.png", "question": "Is it red?", "answer": "True", "question_index": 1}
    return {
        "RyanWW/Spatial457": {
            "questions/L1_single.json": json.dumps({"questions": [scene]}).encode(),
            "images/a.png": picture(1),
            "spatial457_scenes_21k.json": b'{"scenes": []}',
        },
        "ccvl/3DSRBench": {"3dsrbench_v1_vlmevalkit_circular.tsv": tsv.encode(), "3dsrbench_v1_vlmevalkit.tsv": b"x"},
        "MilaWang/SpatialEval": {"vqa/test-00000-of-00002.parquet": table([maze]), "tqa/test-00000-of-00001.parquet": b"x"},
        "andrewliao11/Q-Spatial-Bench": {
            "data/QSpatial_plus-00000-of-00001.parquet": table([{**qspatial, "image": embedded(0)}]),
            "data/QSpatial_scannet-00000-of-00001.parquet": b"x",
        },
        "lidingm/ViewSpatial-Bench": {
            "ViewSpatial-Bench.json": json.dumps([{**view, "image_path": ["ViewSpatial-Bench/val2017/1.jpg"]}]).encode(),
            "val2017.zip": packed(**{"val2017/1.jpg": picture(0)}),
        },
        "nyu-visionx/VSI-Bench": {
            "test.jsonl": json.dumps({"id": 0, **sight, "options": None, "ground_truth": "4"}).encode(),
            "test-00000-of-00001.parquet": b"the same rows again",
            "arkitscenes.zip": packed(**{"arkitscenes/1.mp4": video}),
        },
        "BLINK-Benchmark/BLINK": {
            "Depth/val-00000-of-00001.parquet": table([{**blink, "image_1": embedded(0)}]),
            "Depth/test-00000-of-00001.parquet": b"x",
        },
        "lmms-lab/HallusionBench": {"data/image-00000-of-00001.parquet": table([{**hallusion, "image": embedded(0)}])},
        "xai-org/RealworldQA": {
            "data/test-00000-of-00002.parquet": table(
                [{"image": embedded(0), "question": "Where?\n\nA. left\nB. right", "answer": "B"}]
            )
        },
        "echo840/OCRBench": {"data/test-00000-of-00001.parquet": table([ocr])},
        "HuggingFaceM4/ChartQA": {"data/test-00000-of-00001-e2.parquet": table([chart])},
        "AILab-CVC/SEED-Bench-2-plus": {
            "SEED-Bench-2-plus-text-rich.json": json.dumps({"questions": [seed]}).encode(),
            "text_rich.zip": packed(**{"text_rich/1.png": picture(1)}),
        },
    }


def evaluate(tmp_path, hub, suite="all"):
    """Download and ask a server that knows one answer; the folder of the run's outputs."""
    environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": ""}
    environment |= {"HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    with FaultyServer(lambda text, images: "\\boxed{A}") as server:
        options = ("--tables", tmp_path / "tables", "--out", tmp_path / "out", "--base-url", server.url, "--download")
        return run_cli("eval", "tiny", "--suite", suite, *options, env=environment)


def test_every_benchmark_on_the_hub_is_fetched_and_asked(repositories, tmp_path):
    with Hub(repositories) as hub:
        done = evaluate(tmp_path, hub)
        assert done.returncode == 0, done.stderr
        assert "holds no table of them: What'sUp, MMBench v1.1 EN" in done.stderr
        assert not {file for file in hub.served if repositories_hold(repositories, file, b"x")}
        sent = len(hub.served)
        assert evaluate(tmp_path, hub).returncode == 0
        assert len(hub.served) == sent
    found = [json.loads(path.read_text()) for path in (tmp_path / "out").rglob("results.json")]
    kinds = {kind.name: kind for kind in (*SPATIAL, *GENERAL) if kind.hub}
    assert {r["benchmark"] for r in found} == set(kinds)
    for results in found:
        assert results["data"]["origin"] == f"{kinds[results['benchmark']].hub.repo}@{REVISION}"
        assert len(results["data"]["md5"]) == 32
        assert (results["overall"]["n"], results["errors"]) == (1, 0 if results["benchmark"] != "3dsrbench" else 1)


def repositories_hold(repositories, file, content):
    return any(files.get(file) == content for files in repositories.values())


def test_what_a_broken_download_left_is_fetched_on(repositories, tmp_path):
    with Hub(repositories) as hub:
        hub.broken = {"text_rich.zip"}
        done = evaluate(tmp_path, hub, "seedbench2plus")
        assert done.returncode == 2
        assert "AILab-CVC/SEED-Bench-2-plus cannot be fetched" in done.stderr
        assert "Traceback" not in done.stderr
        hub.broken = set()
        assert evaluate(tmp_path, hub, "seedbench2plus").returncode == 0
    assert sorted(hub.served) == ["SEED-Bench-2-plus-text-rich.json", "text_rich.zip"]


def test_what_is_not_there_ends_in_a_message(tmp_path):
    with Hub({}) as hub:
        done = evaluate(tmp_path, hub, "blink")
        assert (done.returncode, "Traceback" in done.stderr) == (2, False)
        assert "BLINK-Benchmark/BLINK cannot be fetched" in done.stderr
        done = evaluate(tmp_path, hub, "mmbench")
        assert "holds no table of MMBench v1.1 EN" in done.stderr
        assert "it is not on the Hub" in done.stderr
