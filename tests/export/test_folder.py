"""An export is whole or not there, and never touches what is not its own."""

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest

from export.helpers import originals, run_export
from spatial_ssrl.errors import DatasetError, ExportError
from spatial_ssrl.export import export


def test_an_interrupted_export_leaves_nothing(dataset, tmp_path):
    def stop(done, total):
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(dataset, "verl", tmp_path / "out", progress=stop)
    assert list((tmp_path / "out").iterdir()) == []
    run_export(dataset, "verl", tmp_path / "out")


def test_a_killed_export_leaves_no_file_in_place_and_can_be_given_again(dataset, tmp_path):
    out = tmp_path / "out"
    code = f"""
import time
from pathlib import Path
from spatial_ssrl.export import export
export(Path({str(dataset)!r}), "swift", Path({str(out)!r}), progress=lambda done, total: time.sleep(0.05))
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    while not list(out.glob(".partial/images/*/*")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert [path.name for path in out.iterdir()] == [".partial"]
    run_export(dataset, "swift", out)
    assert not (out / ".partial").exists()
    assert len((out / "train.jsonl").read_text().splitlines()) == len(originals(dataset)["train"])


def test_another_export_replaces_the_first_and_keeps_what_is_not_its_own(dataset, tmp_path):
    run_export(dataset, "swift", tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    run_export(dataset, "webdataset", tmp_path)
    made = json.loads((tmp_path / "spatial_export.json").read_text())["files"]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*made, "spatial_export.json", "notes.txt"])
    assert not (tmp_path / "images").exists()


def test_a_folder_with_something_else_is_refused(dataset, tmp_path):
    (tmp_path / "thesis.tex").write_text("...")
    with pytest.raises(ExportError, match="is not empty and holds no export; choose another --out"):
        run_export(dataset, "trl", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_the_dataset_itself_is_refused_as_out(dataset):
    with pytest.raises(ExportError):
        run_export(dataset, "trl", dataset)


@pytest.mark.parametrize(("settings", "message"), [
    ({"to": "ppo"}, "--to ppo: unknown; known: trl, verl, easyr1, swift, llamafactory, webdataset"),
    ({"to": "trl", "instruction": "xml"}, "--instruction xml: unknown; known: think, boxed, none"),
    ({"to": "swift", "images": "embedded"}, "--images embedded: this trainer reads images as paths"),
    ({"to": "verl", "images": "links"}, "--images links: this trainer reads images as paths or embedded"),
])  # fmt: skip
def test_names_that_do_not_exist(dataset, tmp_path, settings, message):
    with pytest.raises(ExportError, match=message):
        run_export(dataset, out=tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_an_unfinished_dataset_is_refused(dataset, tmp_path):
    shutil.copytree(dataset, tmp_path / "half")
    (tmp_path / "half" / "manifest.json").unlink()
    with pytest.raises(DatasetError, match=r"no manifest.json; build it, or let an interrupted build finish"):
        run_export(tmp_path / "half", "trl", tmp_path / "out")


def test_the_command_ends_with_the_next_one(dataset, tmp_path, cli):
    out = tmp_path / "my rows"
    done = cli("export", dataset, "--to", "verl", "--out", out, "--images", "embedded", "--instruction", "boxed")
    assert done.returncode == 0, done.stderr
    assert f"60 rows (test, train, validation) in {out}" in done.stdout
    assert f"data.train_files='{out}/train.parquet'" in done.stdout
    settings = json.loads((out / "spatial_export.json").read_text())
    assert (settings["to"], settings["images"], settings["instruction"]) == ("verl", "embedded", "boxed")
    failed = cli("export", dataset, "--to", "nothing", "--out", out)
    assert failed.returncode == 2
    assert "error: --to nothing: unknown" in failed.stderr
