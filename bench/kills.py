"""Builds that are killed at random moments and resumed, against one that is left alone; one JSON object a line.

python bench/kills.py [--trials 50] [--ray-trials 1]

A trial ends by SIGKILL either one worker, the run with all its workers, or the run alone, and gives the same command
again until it ends. After each kill every shard file there must be the whole one, and at the end all files must
have the bytes of the undisturbed build. A Ray trial kills one of two nodes of a cluster on this machine.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

RECIPE = """
sources = ["synthetic:60?size=320x240&style=plain"]
n = 240
profile = "paper"
rows_per_shard = 10
"""
Digests = dict[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--ray-trials", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    dice, counts = random.Random(args.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "recipe.toml").write_text(RECIPE)
        start = time.monotonic()
        begin(folder, folder / "whole").wait()
        seconds, whole = time.monotonic() - start, digests(folder / "whole")
        for i in range(args.trials):
            kind = ("worker", "run", "run alone")[i % 3]
            print(json.dumps(trial(folder, folder / str(i), kind, dice.uniform(0, seconds), whole, counts)), flush=True)
        for i in range(args.ray_trials):
            print(json.dumps(ray_trial(folder, folder / f"ray{i}", whole)), flush=True)
    print(json.dumps({"name": "kills", "trials": args.trials, "shards": len(whole), "undisturbed_s": seconds, **counts}))


def begin(folder: Path, out: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "spatial_ssrl.cli", "build", "--recipe", str(folder / "recipe.toml")]
    command += ["--workers", "2", "--out", str(out), *options]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def trial(folder: Path, out: Path, kind: str, moment: float, whole: Digests, counts: Counter[str]) -> dict[str, object]:
    run = begin(folder, out)
    time.sleep(moment)
    found, alive = workers(run.pid), run.poll() is None
    if kind == "worker":
        for worker in found[:1]:
            os.kill(worker, signal.SIGKILL)
    elif alive:
        (os.killpg if kind == "run" else os.kill)(run.pid, signal.SIGKILL)
    code = run.wait()
    kept = digests(out)
    check(kept.items() <= whole.items(), f"{out} holds a shard that is not whole after the kill")
    if kind == "worker":
        check(code == 0, f"a run did not outlive its worker: status {code}")
    else:
        check(begin(folder, out).wait() == 0, f"{out} could not be resumed")
    check(digests(out) == whole, f"{out} has other bytes")
    check(not list(out.glob("**/.*")), f"{out} has files left over")
    hit = bool(found) if kind == "worker" else alive
    counts.update({kind: 1, f"{kind}, while it ran": hit, "equal bytes": 1})
    return {"kill": kind, "at_s": round(moment, 2), "hit": hit, "files_then": len(kept), "equal": True}


def ray_trial(folder: Path, out: Path, whole: Digests) -> dict[str, object]:
    """Two nodes of one processor each; one is killed when the first files are there."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    lost = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    run = begin(folder, out, "--engine", "ray", "--address", cluster.address)
    while len(digests(out)) < 4 and run.poll() is None:
        time.sleep(0.05)
    then = len(digests(out))
    hit = run.poll() is None
    cluster.remove_node(lost, allow_graceful=False)
    code = run.wait()
    cluster.shutdown()
    check(code == 0 and digests(out) == whole, f"{out}: status {code} after a node was lost")
    return {"kill": "ray node", "hit": hit, "files_then": then, "equal": True}


def workers(pid: int) -> list[int]:
    """Worker processes of a run, in a random order."""
    listed = subprocess.run(["pgrep", "-P", str(pid), "-f", "spawn_main"], capture_output=True, text=True, check=False)
    return sorted(map(int, listed.stdout.split()), key=lambda _: random.random())


def digests(out: Path) -> Digests:
    """SHA-256 of the shard files that have their name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.glob("data/[!.]*.parquet")}


def check(holds: bool, message: str) -> None:
    if not holds:
        raise SystemExit(message)


if __name__ == "__main__":
    main()
