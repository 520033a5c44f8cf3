"""Builds by URL: always into fsspec's files of this machine; into S3 where a server and client are (`make test-s3`)."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from spatial_ssrl.build.place import open_place, work_folder
from spatial_ssrl.errors import DatasetError, SpatialSSRLError

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("upath")

RECIPE = """
sources = ["synthetic:20?size=160x120"]
n = 200
profile = "paper"
rows_per_shard = 5
tasks = [{task = "shuffle", variant = "2x2"}]
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "recipe.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory):
    """The files of an undisturbed build in a folder, by name."""
    from conftest import run_cli

    out = tmp_path_factory.mktemp("whole") / "rows"
    done = run_cli("build", "--recipe", recipe, "--out", out)
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in (out / "data").iterdir()}


@pytest.fixture(scope="module")
def s3():
    pytest.importorskip("s3fs", reason="no client of S3: make test-s3")
    server = pytest.importorskip("moto.server", reason="no server of S3: make test-s3").ThreadedMotoServer(port=0)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*server.get_host_and_port()))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "any")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield "s3://bucket"
    server.stop()


@pytest.fixture(params=["file", "s3"])
def bucket(request, tmp_path):
    """A file system and the URL of an empty bucket in it."""
    url = f"file://{tmp_path}/bucket" if request.param == "file" else request.getfixturevalue("s3")
    store, path = fsspec.url_to_fs(url)
    store.mkdir(path)
    yield store, url
    store.rm(path, recursive=True)
    for name in ("bucket", "bucket2"):
        shutil.rmtree(work_folder(open_place(f"{url.removesuffix('bucket')}{name}/rows")), ignore_errors=True)


def found(store, pattern):
    store.invalidate_cache()
    return {path.rsplit("/", 1)[1]: path for path in store.glob(pattern)}


def test_a_killed_build_goes_on_from_what_the_store_has(bucket, recipe, whole, cli):
    store, url = bucket
    command = [
        sys.executable,
        "-m",
        "spatial_ssrl.cli",
        "build",
        "--recipe",
        recipe,
        "--workers",
        "2",
        "--out",
        f"{url}/rows",
    ]
    run = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
    while len(found(store, f"{url}/rows/.build/shard-*.json")) < 3:
        assert run.poll() is None
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    kept = found(store, f"{url}/rows/data/*.parquet")
    assert 3 <= len(kept) < len(whole)
    assert not store.exists(f"{url}/rows/manifest.json")
    cut = sorted(kept)[0]
    store.pipe_file(kept[cut], whole[cut][:-100])
    then = {path: store.modified(path) for path in kept.values()}
    time.sleep(1)  # the resolution of the times that S3 gives
    done = cli("build", "--recipe", recipe, "--workers", 2, "--out", f"{url}/rows")
    assert done.returncode == 0, done.stderr
    assert f"{cut} is gone or not as it was written" in done.stderr
    now = found(store, f"{url}/rows/data/*")
    assert {name: store.cat_file(path) for name, path in now.items()} == whole
    again = [path for path in then if store.modified(path) != then[path]]
    assert kept[cut] in again
    assert len(again) <= 3, "finished shards are not made again"
    assert sorted(found(store, f"{url}/rows/*")) == ["README.md", "data", "manifest.json"]
    assert not store.exists(f"{url}/rows/.build")
    assert not work_folder(open_place(f"{url}/rows")).exists()


def test_other_files_and_other_builds_are_not_touched(bucket, recipe, cli):
    store, url = bucket
    store.mkdir(f"{url}/rows")
    store.pipe_file(f"{url}/rows/thesis.txt", b"precious")
    done = cli("build", "--recipe", recipe, "--out", f"{url}/rows")
    assert done.returncode == 2
    assert "rows is not empty and holds no build" in done.stderr
    assert list(found(store, f"{url}/rows/*")) == ["thesis.txt"]


def test_two_runs_of_this_machine_refuse_each_other(bucket, recipe, cli):
    url = f"{bucket[1]}/rows"
    work = work_folder(open_place(url))
    work.mkdir()
    with (work / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = cli("build", "--recipe", recipe, "--out", url)
    assert done.returncode == 2
    assert f"another process is building in {url}" in done.stderr


def test_a_bucket_that_is_not_there_is_told_and_not_made(bucket, recipe, cli):
    store, url = bucket
    done = cli("build", "--recipe", recipe, "--out", f"{url}2/rows")
    assert done.returncode == 2
    assert f"error: cannot write in {url}2/rows: FileNotFoundError" in done.stderr
    assert "Traceback" not in done.stderr
    assert not store.exists(f"{url}2")


@pytest.mark.filterwarnings("default")
def test_ray_workers_upload_their_shards(bucket, recipe, whole, cli):
    pytest.importorskip("ray", reason="the ray extra is not installed")
    store, url = bucket
    done = cli("build", "--recipe", recipe, "--workers", 2, "--engine", "ray", "--out", f"{url}/rows")
    assert done.returncode == 0, done.stderr
    assert {name: store.cat_file(path) for name, path in found(store, f"{url}/rows/data/*").items()} == whole


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nowhere://bucket/x", "Unsupported filesystem: 'nowhere'"),
        ("ftp://127.0.0.1:1/x", "Connection refused"),
        ("abfs://container/x", "adlfs"),
    ],
)
def test_a_store_that_cannot_be_used_is_told(url, message):
    with pytest.raises(DatasetError, match=message):
        open_place(url)


def test_without_its_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "upath", None)
    with pytest.raises(SpatialSSRLError, match=r"universal_pathlib is not installed; run: .*spatial-ssrl\[remote\]"):
        open_place("s3://bucket/rows")


@pytest.mark.parametrize("command", [("audit",), ("report",), ("export", "--to", "trl", "--out", "x")])
def test_commands_that_read_rows_want_a_folder(command, cli):
    done = cli(*command, "s3://bucket/rows")
    assert done.returncode == 2
    assert "s3://bucket/rows is no folder of this machine; copy it" in done.stderr
