"""CPU seconds to read and score stored replies, all benchmarks' forms of answers; one JSON object a line.

python bench/scoring.py TABLES [--replies 100000]

TABLES holds vsi_bench.json, ViewSpatial-Bench.json, HallusionBench.json, OCRBench.json and whatsup_*.jsonl. Replies are of a
model that reasons: 150 words of thought, then a boxed answer, right half of the time, or a sentence without a box.
"""

import argparse
import json
import time
from pathlib import Path

from spatial_ssrl.evaluate import BENCHMARKS, Settings
from spatial_ssrl.evaluate.replies import Stored
from spatial_ssrl.evaluate.results import figure, figures
from spatial_ssrl.evaluate.run import judge
from spatial_ssrl.evaluate.suite import find

NAMES = ("vsi-bench", "viewspatial", "whatsup", "hallusionbench", "ocrbench")
THOUGHT = "<think>" + "The left one is nearer to the camera than 2 of the others, so (B) cannot be it. " * 10 + "</think>\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", type=Path)
    parser.add_argument("--replies", type=int, default=100_000)
    arguments = parser.parse_args()
    each = arguments.replies // len(NAMES)
    total = 0.0
    for name in NAMES:
        benchmark = BENCHMARKS[name]()
        path = find(BENCHMARKS[name], arguments.tables)
        assert path, f"no table of {name} in {arguments.tables}"
        questions = benchmark.read(path)
        samples = -(-each // len(questions))
        started = time.process_time()
        verdicts = [
            judge(benchmark, q, Stored("", name, q.id, s, "reasoning", reply(q.answer, i + s), None), Settings())
            for s in range(samples)
            for i, q in enumerate(questions)
        ]
        scored = time.process_time()
        headline = next(figure(metric, values) for metric, values in figures(benchmark, verdicts))
        done = time.process_time()
        total += done - started
        seconds = {"judging": round(scored - started, 2), "intervals": round(done - scored, 2)}
        print(json.dumps({"benchmark": name, "replies": len(verdicts), **seconds, headline.name: round(headline.value, 3)}))
    print(json.dumps({"replies": arguments.replies, "seconds": round(total, 2)}))


def reply(answer: str, i: int) -> str:
    kinds = (f"\\boxed{{{answer}}}", "\\boxed{A}", f"The answer is **{answer}**.", "I am not sure; it may be either.")
    return THOUGHT + kinds[i % 4]


if __name__ == "__main__":
    main()
