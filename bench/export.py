"""Time and peak memory of an export by its number of rows; one JSON object a line.

python bench/export.py DIR OUT [--rows 10000 100000] [--to verl] [--images paths]

Rows are those of the dataset DIR, over and over under new ids. OUT keeps the largest dataset (OUT/data)
and its export (OUT/export), for bench/verl_memory.py.
"""

import argparse
import itertools
import json
import multiprocessing
import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from spatial_ssrl.export import export
from spatial_ssrl.rng import digest
from spatial_ssrl.row import Row, read_rows, splits_of, write_rows

SHARD = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--to", default="verl")
    parser.add_argument("--images", default="paths")
    options = parser.parse_args()
    for n in sorted(options.rows):
        shutil.rmtree(options.out, ignore_errors=True)
        write_copies(options.dataset, n, options.out / "data")
        # a process of its own, so that the peak is that of the export
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            pool.apply(measure, (options.out, options.to, options.images))


def write_copies(dataset: Path, n: int, out: Path) -> None:
    (out / "data").mkdir(parents=True)
    rows = copies([row for split in splits_of(dataset) for row in read_rows(dataset, split)])
    shards = -(-n // SHARD)
    for shard in range(shards):
        count = min(SHARD, n - shard * SHARD)
        write_rows(list(itertools.islice(rows, count)), out / "data" / f"train-{shard:05d}-of-{shards:05d}.parquet")
    (out / "manifest.json").write_text("{}")


def copies(rows: list[Row]) -> Iterator[Row]:
    for k, row in enumerate(itertools.cycle(rows)):
        yield {**row, "id": digest("copy", k), "split": "train"}


def measure(out: Path, to: str, images: str) -> None:
    start = time.perf_counter()
    done = export(out / "data", to, out / "export", images=images, progress=lambda done, total: None)
    seconds = time.perf_counter() - start
    rows = sum(done.rows.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    name = f"export {to} {images}"
    line = {"name": name, "rows": rows, "rows_per_s": round(rows / seconds), "peak_mb": round(peak)}
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
