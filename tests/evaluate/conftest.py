import csv
from pathlib import Path

import pytest

from conftest import REAL
from evaluate.helpers import QUIET, Scripted
from evaluate.miniatures import encoded
from spatial_ssrl.evaluate import BENCHMARKS, Settings, evaluate


@pytest.fixture(scope="session")
def real_eval() -> Path:
    """Folder of real benchmark tables and of published replies."""
    if not (REAL / "eval").is_dir():
        pytest.skip("no real data: set SPATIAL_SSRL_TEST_DATA to a folder with eval/")
    return REAL / "eval"


@pytest.fixture
def runs(tmp_path):
    """Two models on 40 questions in two categories; the second is right on all of the second category."""
    rows = [
        {
            "index": i,
            "image": encoded(i, 32 + i),
            "question": f"q{i}",
            "A": "x",
            "B": "y",
            "answer": "AB"[i % 2],
            "category": f"c{i // 20}",
        }
        for i in range(40)
    ]
    with (tmp_path / "BLINK.tsv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)
    benchmark = BENCHMARKS["blink"]()
    gold = {benchmark.prompt(q, "reasoning"): q for q in benchmark.read(tmp_path / "BLINK.tsv")}
    models = {
        "base": lambda p: "\\boxed{A}",
        "tuned": lambda p: f"\\boxed{{{gold[p.text].answer if gold[p.text].category == 'c1' else 'A'}}}",
    }
    for name, answer in models.items():
        folder = tmp_path / name / "blink" / "reasoning"
        evaluate(benchmark, tmp_path / "BLINK.tsv", Scripted(answer, name), folder, Settings(), QUIET)
    return tmp_path
