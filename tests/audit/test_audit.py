"""The audit of a dataset folder: its file, its gate, and what it says of pictures, answers and margins."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from audit.helpers import quiet, rows_of, write_dataset
from spatial_ssrl.audit import Audit, audit
from spatial_ssrl.audit.balance import balance_of, margins_of
from spatial_ssrl.audit.duplicates import perceptual_hash, read_collection, whole
from spatial_ssrl.audit.reading import choose
from spatial_ssrl.audit.result import FEWEST_ROWS
from spatial_ssrl.errors import DatasetError, MissingExtraError
from spatial_ssrl.rng import generator
from spatial_ssrl.scene import Scene
from spatial_ssrl.sources.rooms import render_room


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, rooms):
    """Rows of three variants; scene 0 lies, slightly changed, in the test split too."""
    rgb = np.asarray(Image.fromarray(rooms[0].rgb).resize((300, 225)), np.int16)
    copy = Scene(np.clip(rgb + 3, 0, 255).astype(np.uint8))
    kinds = (("shuffle", "3x1"), ("flip", "2x2"), ("crop", "square"))
    rows = [row for kind in kinds for row in rows_of(*kind, rooms) + rows_of(*kind, [copy], 1, "test")]
    return write_dataset(tmp_path_factory.mktemp("audited"), rows)


@pytest.fixture(scope="module")
def found(dataset):
    return audit(dataset, command="spatial-ssrl audit DIR", progress=quiet)


def test_the_file_says_what_was_found(found, tmp_path):
    found.write(tmp_path / "audit.json")
    assert Audit.read(tmp_path / "audit.json") == found
    content = json.loads((tmp_path / "audit.json").read_text())
    assert content["failures"] == found.failures
    assert content["command"] == "spatial-ssrl audit DIR"
    line = content["lines"][0]
    assert line["low"] <= line["accuracy"] <= line["high"]
    assert line["gap"] == pytest.approx(line["accuracy"] - line["floor"])


def test_a_file_that_is_no_audit_is_refused(tmp_path):
    (tmp_path / "audit.json").write_text("{}")
    with pytest.raises(DatasetError, match="is not an audit"):
        Audit.read(tmp_path / "audit.json")


def test_every_variant_has_its_lines(found):
    assert {(line.task, line.variant) for line in found.lines} == {("shuffle", "3x1"), ("flip", "2x2"), ("crop", "square")}
    assert {"seams", "border", "options alone", "thumbnail", "most frequent letter"} & {line.solver for line in found.lines}


def test_several_processes_find_the_same(dataset, found):
    again = audit(dataset, workers=2, command="spatial-ssrl audit DIR", progress=quiet)
    assert again == found


def test_a_planted_duplicate_is_found(found):
    assert found.duplicates.compared == 7
    assert found.duplicates.across_splits == 1
    assert found.duplicates.listed[0].places in {("train", "test"), ("test", "train")}


def test_a_puzzle_put_together_again_is_its_scene(rooms):
    for name, variant in (("shuffle", "2x2"), ("flip", "2x2"), ("crop", "square")):
        row = rows_of(name, variant, rooms[:1])[0]
        apart = perceptual_hash(whole(row)) ^ perceptual_hash(rooms[0].rgb)
        assert apart.bit_count() <= 6


def test_pictures_of_another_collection_are_found(dataset, rooms, tmp_path):
    Image.fromarray(rooms[1].rgb).resize((200, 150)).save(tmp_path / "known.jpg", quality=80)
    Image.fromarray(render_room(generator("unseen"), 320, 240).rgb).save(tmp_path / "unknown.png")
    (tmp_path / "notes.txt").write_text("no picture")
    hit = audit(dataset, against=tmp_path, limit=1, progress=quiet).contamination
    assert hit.across_splits == 1
    assert hit.listed[0].second.endswith("known.jpg")
    assert len(read_collection(dataset)) > 1, "our own parquet files have an image column"


@pytest.mark.parametrize("made", [True, False])
def test_a_collection_without_pictures_is_an_error(made, tmp_path):
    with pytest.raises(DatasetError, match="expected"):
        read_collection(tmp_path if made else tmp_path / "missing")


def test_a_missing_extra_is_named(dataset, monkeypatch):
    for module, package in (("imagehash", "imagehash"), ("sklearn", "scikit-learn")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(MissingExtraError, match=package) as caught:
            audit(dataset, progress=quiet)
        monkeypatch.undo()
        assert "spatial-ssrl[audit]" in str(caught.value)


def test_the_gate_names_what_fails(found):
    assert any("too few rows" in failure for failure in found.failures)
    assert any(failure.startswith("duplicates") for failure in found.failures)
    assert any(failure.startswith("flip/2x2: ") and "at most" in failure for failure in found.failures)


def test_the_gate_passes_what_holds(found):
    held = [replace(line, accuracy=line.chance + 0.15, gap=0.15) for line in found.lines]
    audited = dict.fromkeys(found.audited, FEWEST_ROWS)
    clean = replace(found.duplicates, across_splits=0)
    balance = tuple(replace(b, significant=False) for b in found.balance)
    assert replace(found, lines=tuple(held), audited=audited, duplicates=clean, balance=balance).failures == []


def test_the_gate_ends_with_status_1(dataset, tmp_path, cli):
    out = tmp_path / "a.json"
    done = cli("audit", dataset, "--limit", 2, "--workers", 1, "--gate", "--out", out)
    assert done.returncode == 1, done.stderr
    assert "fails: flip/2x2: too few rows to say" in done.stdout
    assert Audit.read(out).audited == {"crop/square": 2, "flip/2x2": 2, "shuffle/3x1": 2}


def test_a_folder_without_rows_ends_with_status_2(tmp_path, cli):
    missing = cli("audit", tmp_path)
    assert missing.returncode == 2
    assert "holds no rows" in missing.stderr


def test_letters_that_are_not_drawn_evenly_are_told(rooms):
    row = rows_of("crop", "square", rooms[:1])[0]
    even = [{**row, "answer": "ABCD"[i % 4]} for i in range(80)]
    assert not any(test.significant for test in balance_of(even))
    uneven = [{**row, "answer": "ABCD"[i % 4 if i < 40 else 0]} for i in range(80)]
    assert next(test for test in balance_of(uneven) if test.what == "answer").significant


def test_margins_are_told_beside_their_threshold(rooms):
    rows = rows_of("flip", "2x2", rooms, 3)
    (margins,) = margins_of(rows)
    assert margins.threshold <= margins.smallest <= margins.percentile_5 <= margins.median


def test_the_chosen_rows_do_not_depend_on_the_order(rooms):
    rows = rows_of("flip", "2x2", rooms, 3)
    assert choose(rows, 5) == choose(rows[::-1], 5)
    assert len(choose(rows, 5)) == 5
