"""How long training waits for the rows of a stream, beside a step of a stated length; one JSON object a line.

OMP_NUM_THREADS=1 python bench/stream.py [SOURCE] [--profile PROFILE] [--workers N] [--rows ROWS] [--step SECONDS]

Plays a trainer that reads a generation batch of ROWS rows, then is busy for SECONDS while the processes of the stream
make the next one. `wait_share` is the time in which it read, over all; `rows_per_s` is measured apart, without pauses,
and `workers_needed` are those by which rows are made as fast as steps use them.
"""

import argparse
import json
import time
from itertools import islice

from spatial_ssrl import Recipe, stream

STEPS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="synthetic:500")
    parser.add_argument("--profile", default="strict")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--step", type=float, default=60.0)
    given = parser.parse_args()
    recipe = Recipe(sources=(given.source,), profile=given.profile)
    rows = iter(stream(given.source, recipe, workers=given.workers, ahead=given.rows))
    first = seconds_for(rows, given.rows)
    rate = given.rows / seconds_for(rows, given.rows)
    waits = []
    for _ in range(STEPS):
        time.sleep(given.step)
        waits.append(seconds_for(rows, given.rows))
    wait = sum(waits) / STEPS
    result = {
        **vars(given),
        "first_batch_s": round(first, 1),
        "rows_per_s": round(rate, 2),
        "wait_s": round(wait, 3),
        "wait_share": round(wait / (wait + given.step), 4),
        "workers_needed": round(given.workers * given.rows / rate / given.step, 2),
    }
    print(json.dumps(result))


def seconds_for(rows: object, n: int) -> float:
    start = time.perf_counter()
    for _ in islice(rows, n):  # type: ignore[call-overload]
        pass
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
