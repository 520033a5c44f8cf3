"""Every engine writes the same bytes, whatever dies on the way; what cannot be mended ends in a message."""

import fcntl
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from conftest import run_cli
from spatial_ssrl.build import Recipe, build
from spatial_ssrl.build.engine import Mourner
from spatial_ssrl.build.store import trail_path
from spatial_ssrl.errors import DatasetError

RECIPE = Recipe.create(
    None,
    {
        "sources": ("synthetic:20?size=160x120",),
        "n": 60,
        "rows_per_shard": 10,
        "splits": {"train": 0.7, "test": 0.3},
        "tasks": [{"task": "shuffle", "variant": "2x2"}, {"task": "crop", "variant": "square"}],
    },
)


def digests(dataset):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted((dataset / "data").iterdir())}


def make(out, recipe=RECIPE, workers=2, progress=lambda done, total: None, **settings):
    return build(recipe, out, workers, "test", progress, **settings)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "rows"
    make(out)
    return out


def children():
    """Processes of the pool: children of this process that were spawned."""
    found = subprocess.run(
        ["pgrep", "-P", str(os.getpid()), "-f", "spawn_main"], capture_output=True, text=True, check=False
    )
    return [int(line) for line in found.stdout.split()]


def test_the_manifest_tells_the_files(whole):
    files = json.loads((whole / "manifest.json").read_text())["files"]
    assert {name: told["sha256"] for name, told in files.items()} == digests(whole)
    assert sum(told["rows"] for told in files.values()) == 60
    assert all(told["bytes"] == (whole / "data" / name).stat().st_size for name, told in files.items())


def test_a_shard_whose_worker_was_killed_is_made_again(whole, tmp_path):
    killed = []

    def kill(done, total):
        if done > 5 and not killed and (found := children()):
            os.kill(found[0], signal.SIGKILL)
            killed.append(found[0])

    make(tmp_path / "rows", progress=kill)
    assert killed
    assert digests(tmp_path / "rows") == digests(whole)


def interrupt(out, when, **settings):
    """Begin a build and end it, as Ctrl-C does, as soon as so many rows are made."""

    def stop(done, total):
        if done >= when:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(out, progress=stop, **settings)


def test_damaged_shards_are_noticed_and_made_again(whole, tmp_path, caplog):
    interrupt(tmp_path / "rows", 50, workers=1)
    truncated, altered, gone, *others = sorted((tmp_path / "rows" / "data").glob("*.parquet"))
    kept = {path: path.stat().st_mtime_ns for path in others}
    truncated.write_bytes(truncated.read_bytes()[:-100])
    data = bytearray(altered.read_bytes())
    data[len(data) // 2] ^= 1
    altered.write_bytes(data)
    gone.unlink()
    make(tmp_path / "rows")
    assert digests(tmp_path / "rows") == digests(whole)
    assert all(path.name in caplog.text for path in (truncated, altered, gone))
    assert any(path.stat().st_mtime_ns == then for path, then in kept.items())


def test_two_runs_refuse_each_other(tmp_path):
    (tmp_path / "rows" / ".build").mkdir(parents=True)
    with (tmp_path / "rows" / ".build" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        print("process 12 of node3", file=lock, flush=True)
        with pytest.raises(DatasetError, match=r"another process is building in .*: process 12 of node3"):
            make(tmp_path / "rows")


def test_a_kill_before_the_first_shard_leaves_a_folder_that_can_be_resumed(whole, tmp_path):
    (tmp_path / "rows" / ".build").mkdir(parents=True)
    (tmp_path / "rows" / ".build" / "lock").touch()
    make(tmp_path / "rows")
    assert digests(tmp_path / "rows") == digests(whole)


def test_a_full_disk_ends_in_a_message_and_keeps_finished_shards(tmp_path):
    command = [
        sys.executable,
        "-m",
        "spatial_ssrl.cli",
        "build",
        "synthetic:20?size=160x120",
        "--n",
        "60",
        "--out",
        tmp_path / "x",
    ]
    small = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # noqa: E731
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=small, check=False, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "error: cannot write in" in done.stderr
    assert "the same command goes on" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "x" / "data").glob("*.parquet"))


DEADLY = """
import os, signal, sys, time
from spatial_ssrl.build import engine
from spatial_ssrl.sources.folder import Folder
engine.SECONDS_A_VISIT = 1.0
load = Folder.load
def deadly(self, key, *rest):
    if key == "kills.png":
        os.kill(os.getpid(), signal.SIGKILL)
    while key == "hangs.png":
        pass
    return load(self, key, *rest)
Folder.load = deadly
if __name__ == "__main__":
    from spatial_ssrl.cli import main
    main()
"""


def test_pictures_that_kill_or_hang_the_decoder_are_skipped_and_told(tmp_path):
    (tmp_path / "in").mkdir()
    for i, name in enumerate(("a", "b", "c", "hangs", "kills")):
        pixels = np.random.default_rng(i).integers(0, 256, (9, 12, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
        Image.fromarray(pixels).save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "deadly.py").write_text(DEADLY)
    results = []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        command = [sys.executable, tmp_path / "deadly.py", "build", tmp_path / "in", "--n", "30", "--profile", "paper"]
        command += ["--out", out, "--workers", str(workers)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == 0, done.stderr
        skipped = json.loads((out / "manifest.json").read_text())["skipped"]
        assert skipped == dict.fromkeys(("folder:hangs.png", "folder:kills.png"), "ends the process that decodes it")
        results.append(digests(out))
    assert results[0] == results[1]


def test_deaths_without_a_cause_end_the_build(tmp_path):
    (tmp_path / ".build").mkdir()
    mourner = Mourner(tmp_path)

    def die(i):
        trail_path(tmp_path, 4).write_text(json.dumps([f"folder:{i}.png", i]))
        mourner.note(4)

    for i in range(5):
        die(i)
    with pytest.raises(DatasetError, match=r"6 processes that made shard 4 died, the last one at folder:5\.png.*--workers"):
        die(5)
    assert not mourner.banned


@pytest.fixture(scope="module")
def ray():
    return pytest.importorskip("ray", reason="the ray extra is not installed")


@pytest.mark.filterwarnings("default")
def test_ray_writes_the_same_bytes_and_goes_on_after_an_interrupt(ray, whole, tmp_path):
    interrupt(tmp_path / "rows", 10, engine="ray")
    assert not (tmp_path / "rows" / "manifest.json").exists()
    seen = []
    make(tmp_path / "rows", engine="ray", progress=lambda done, total: seen.append(done))
    assert digests(tmp_path / "rows") == digests(whole)
    assert seen[-1] == 60


@pytest.mark.filterwarnings("default")
def test_no_cluster_is_told(ray, tmp_path):
    done = run_cli("build", "synthetic:4", "--n", 4, "--out", tmp_path / "x", "--engine", "ray", "--address", "auto")
    assert done.returncode == 2
    assert "no Ray cluster at 'auto'" in done.stderr
