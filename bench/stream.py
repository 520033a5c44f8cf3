"""How long training waits for the rows of a stream, beside a step of a stated length; one JSON object a line.

OMP_NUM_THREADS=1 python bench/stream.py [SOURCE] [--profile PROFILE] [--workers N] [--rows ROWS] [--step SECONDS]

Plays a trainer that reads a generation batch of ROWS rows, then is busy for SECONDS while the processes of the stream
make the next one. `wait_share` is the time in which it read, over all. `cpu_s_per_row` is measured apart, in this
process, and `workers_needed` are those by which rows are made as fast as steps use them.
"""

import argparse
import json
import time
from collections.abc import Iterable
from itertools import islice

from spatial_ssrl import Recipe, Row, stream

STEPS = 3
SAMPLE = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="synthetic:500")
    parser.add_argument("--profile", default="strict")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--step", type=float, default=60.0)
    given = parser.parse_args()
    recipe = Recipe(sources=(given.source,), profile=given.profile)
    sample = stream(given.source, recipe)
    cpu = time.process_time()
    seconds_for(sample, SAMPLE)
    cpu = (time.process_time() - cpu) / SAMPLE
    rows = iter(stream(given.source, recipe, workers=given.workers, ahead=given.rows))
    first = seconds_for(rows, given.rows)
    waits = []
    for _ in range(STEPS):
        time.sleep(given.step)
        waits.append(seconds_for(rows, given.rows))
    wait = sum(waits) / STEPS
    result = {
        **vars(given),
        "first_batch_s": round(first, 1),
        "cpu_s_per_row": round(cpu, 3),
        "wait_s": round(wait, 3),
        "wait_share": round(wait / (wait + given.step), 4),
        "workers_needed": round(cpu * given.rows / given.step, 2),
    }
    print(json.dumps(result))


def seconds_for(rows: Iterable[Row], n: int) -> float:
    start = time.perf_counter()
    for _ in islice(rows, n):
        pass
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
