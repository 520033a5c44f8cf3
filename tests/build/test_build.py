"""A build's rows depend on its recipe alone, nothing is lost, and bad input is counted."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from spatial_ssrl.build.plan import Plan, apportion, split_of
from spatial_ssrl.build.recipe import Recipe, all_variants
from spatial_ssrl.errors import RecipeError, SourceError
from spatial_ssrl.row import SCHEMA, read_rows
from spatial_ssrl.scene import decode_rgb
from spatial_ssrl.tasks import TASKS

ROOT = Path(__file__).parents[2]
ROOMS = "synthetic:30?size=160x120"
PAPER = ("--profile", "paper")
SMALL = ("--n", "90", "--seed", "3")


def recipe_file(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    return recipe_file(
        tmp_path_factory.mktemp("recipe"),
        f'sources = ["{ROOMS}"]\nprofile = "paper"\nrows_per_shard = 20\nsplits = {{ train = 0.6, test = 0.4 }}\n',
    )


def digests(dataset: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted((dataset / "data").iterdir())}


@pytest.fixture(scope="module")
def built(recipe, tmp_path_factory):
    from conftest import run_cli

    out = tmp_path_factory.mktemp("built") / "one"
    done = run_cli("build", "--recipe", recipe, *SMALL, "--workers", 1, "--out", out)
    assert done.returncode == 0, done.stderr
    assert f"90 rows in {out}" in done.stdout
    return out


def all_rows(dataset):
    splits = json.loads((dataset / "manifest.json").read_text())["counts"]
    return [row for split in splits for row in read_rows(dataset, split)]


def test_two_workers_write_the_same_bytes(recipe, built, tmp_path, cli):
    done = cli("build", "--recipe", recipe, *SMALL, "--workers", 2, "--out", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "two") == digests(built)


def test_a_killed_build_goes_on_and_writes_the_same_bytes(recipe, built, tmp_path, cli):
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "spatial_ssrl.cli", "build", "--recipe", recipe, *SMALL, "--workers", "1", "--out", out]
    for needed in (1, 3):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
        while process.poll() is None and len(list(out.glob(".build/shard-*.json"))) < needed:
            time.sleep(0.005)
        time.sleep(random.Random(needed).random() * 0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not (out / "manifest.json").exists()
    finished = {p: p.stat().st_mtime_ns for p in out.glob("data/*.parquet")}
    assert finished
    done = cli("build", "--recipe", recipe, *SMALL, "--workers", 2, "--out", out)
    assert done.returncode == 0, done.stderr
    assert digests(out) == digests(built)
    accounted = sum(p.stat().st_mtime_ns == t for p, t in finished.items())
    assert accounted >= len(finished) - 3, "finished shards are not made again"
    assert not (out / ".build").exists()


def test_an_interrupt_says_how_to_go_on(recipe, tmp_path):
    command = [sys.executable, "-m", "spatial_ssrl.cli", "build", "--recipe", recipe, "--n", "5000", "--out", tmp_path / "x"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while not list((tmp_path / "x").glob(".build/shard-*.json")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on where it stopped" in err
    assert "Traceback" not in err + out


def test_a_finished_build_is_left_alone(recipe, built, cli):
    before = digests(built)
    done = cli("build", "--recipe", recipe, *SMALL, "--out", built)
    assert done.returncode == 0
    assert digests(built) == before
    assert not (built / ".build").exists()


def test_another_recipe_does_not_overwrite(recipe, built, cli):
    done = cli("build", "--recipe", recipe, "--n", 91, "--out", built)
    assert done.returncode == 2
    assert "holds the rows of another recipe" in done.stderr


def test_a_folder_of_other_files_is_not_touched(tmp_path, cli):
    (tmp_path / "thesis.txt").write_text("precious")
    done = cli("build", ROOMS, "--n", 9, *PAPER, "--out", tmp_path)
    assert done.returncode == 2
    assert "is not empty and holds no build" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_rows_follow_the_contract(built):
    rows = all_rows(built)
    assert len(rows) == len({row["id"] for row in rows}) == 90
    for row in rows:
        assert row["split"] == split_of(row["scene_id"], {"train": 0.6, "test": 0.4})
        sizes = [decode_rgb(image["bytes"]).shape[:2] for image in row["images"]]
        assert sizes[1:] == ([(60, 60)] * 4 if row["task"] == "crop" else [])
    splits = {}
    for row in rows:
        assert splits.setdefault(row["scene_id"], row["split"]) == row["split"]
    counts = Counter(row["task"] for row in rows)
    assert set(counts) == set(TASKS)


def test_quotas_are_met_or_told(built):
    manifest = json.loads((built / "manifest.json").read_text())
    made = sum(n for counts in manifest["counts"].values() for n in counts.values())
    short = sum(n for counts in manifest["short"].values() for n in counts.values())
    assert made + short == manifest["recipe"]["n"]
    assert made == len(all_rows(built))


def test_files_are_zstd_with_page_index_and_the_schema(built):
    for path in (built / "data").iterdir():
        file = pq.ParquetFile(path)
        assert file.schema_arrow.equals(SCHEMA)
        column = file.metadata.row_group(0).column(0)
        assert column.compression == "ZSTD"
        assert column.has_column_index


def test_datasets_decodes_the_images(built, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    files = sorted(map(str, (built / "data").glob("train-*.parquet")))
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path))
    rows = list(read_rows(built, "train"))
    assert len(loaded) == len(rows)
    for ours, theirs in zip(rows[:10], loaded, strict=False):
        assert theirs["id"] == ours["id"]
        for a, b in zip(ours["images"], theirs["images"], strict=True):
            assert isinstance(b, Image.Image)
            assert np.array_equal(decode_rgb(a["bytes"]), np.asarray(b))


def test_the_card_tells_datasets_where_the_splits_are(built, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(built), cache_dir=str(tmp_path))
    manifest = json.loads((built / "manifest.json").read_text())
    assert {name: len(split) for name, split in loaded.items()} == {
        name: sum(counts.values()) for name, counts in manifest["counts"].items()
    }


def bad_folder(folder):
    """Four pictures that can be used and five files that cannot."""
    good = np.random.default_rng(0).integers(0, 256, (4, 9, 12, 3), dtype=np.uint8).repeat(16, 1).repeat(16, 2)
    for i, pixels in enumerate(good):
        Image.fromarray(pixels).save(folder / f"good{i}.jpg", quality=95)
    whole = (folder / "good0.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.jpg").write_text("no picture")
    Image.fromarray(good[0][:20, :20]).save(folder / "tiny.png")
    (folder / "secret.png").symlink_to(folder / "nowhere.png")
    return {
        "folder:cut.jpg": "truncated or damaged",
        "folder:empty.png": "not a picture",
        "folder:text.jpg": "not a picture",
        "folder:tiny.png": "too small",
        "folder:secret.png": "unreadable file",
    }


def test_bad_files_are_skipped_counted_and_listed(tmp_path, cli):
    (tmp_path / "in").mkdir()
    expected = bad_folder(tmp_path / "in")
    done = cli("build", tmp_path / "in", "--n", 24, *PAPER, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert {path: why.split(":")[0] for path, why in manifest["skipped"].items()} == expected
    assert f"skipped files: {len(expected)}" in done.stdout
    assert {row["source"] for row in all_rows(tmp_path / "out")} <= {f"folder:good{i}.jpg" for i in range(4)}
    assert set(manifest["unserved"]) == {f"{t}/{v}" for t in TASKS if TASKS[t].needs_depth for v in TASKS[t].variants}


def test_rows_are_strict_unless_told_otherwise(tmp_path, cli):
    text = f'sources = ["{ROOMS}"]\nn = 6\nsplits = {{ test = 1.0 }}\n[[tasks]]\ntask = "shuffle"\nvariant = "1x3"\n'
    done = cli("build", "--recipe", recipe_file(tmp_path, text), "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert {row["profile"] for row in read_rows(tmp_path / "out", "test")} == {"strict"}


def test_a_file_that_is_there_twice_gives_its_rows_once(tmp_path, cli):
    for name in ("once", "twice"):
        (tmp_path / name).mkdir()
        bad_folder(tmp_path / name)
    copy = tmp_path / "twice" / "later" / "copy.jpg"
    copy.parent.mkdir()
    copy.write_bytes((tmp_path / "twice" / "good1.jpg").read_bytes())
    for name in ("once", "twice"):
        done = cli("build", tmp_path / name, "--n", 24, *PAPER, "--out", tmp_path / f"{name}-out")
        assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "once-out") == digests(tmp_path / "twice-out")
    manifest = json.loads((tmp_path / "twice-out" / "manifest.json").read_text())
    assert manifest["skipped"]["folder:later/copy.jpg"] == "same file as folder:good1.jpg"


def test_strict_inputs_stop_at_a_bad_file(tmp_path, cli):
    (tmp_path / "in").mkdir()
    bad_folder(tmp_path / "in")
    done = cli("build", tmp_path / "in", "--n", 24, *PAPER, "--out", tmp_path / "out", "--strict-inputs")
    assert done.returncode == 2
    assert "error: folder:" in done.stderr
    assert "Traceback" not in done.stderr


def test_more_rows_than_a_scene_gives_are_told(tmp_path, cli):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    Image.fromarray(pixels).save(tmp_path / "only.png")
    text = f'sources = ["{tmp_path}/only.png"]\nprofile = "paper"\nsplits = {{ train = 1.0 }}\n'
    text += 'tasks = [{ task = "flip", variant = "2x2" }]'
    done = cli("build", "--recipe", recipe_file(tmp_path, text), "--n", 50, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    rows = all_rows(tmp_path / "out")
    assert len({row["answer"] for row in rows}) == len(rows) <= 8
    assert f"could not give: flip/2x2 {50 - len(rows)}" in done.stdout


def test_only_bad_files_end_in_a_message(tmp_path, cli):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "text.jpg").write_text("no picture")
    done = cli("build", tmp_path / "in", "--n", 4, *PAPER, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "no row could be made" in done.stderr
    assert "text.jpg: not a picture" in done.stderr


def test_blank_pictures_are_dropped_with_a_reason(tmp_path, cli):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (200, 160), "grey").save(tmp_path / "in" / "blank.png")
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (5, 6, 3), np.uint8).repeat(30, 0).repeat(30, 1)).save(
        tmp_path / "in" / "full.png"
    )
    recipe = recipe_file(tmp_path, f'sources = ["{tmp_path}/in"]\nprofile = "paper"\nn = 8\nsplits = {{ train = 1.0 }}')
    done = cli("build", "--recipe", recipe, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    drops = json.loads((tmp_path / "out" / "manifest.json").read_text())["drops"]
    assert drops["flip/2x2"]["margin below threshold"] >= 1


def test_a_picture_without_contours_is_asked_once(tmp_path, cli):
    (tmp_path / "in").mkdir()
    for grey in (60, 120, 180):
        Image.new("L", (200, 160), grey).save(tmp_path / "in" / f"{grey}.png")
    blocks = np.random.default_rng(1).integers(0, 256, (10, 12, 3), np.uint8)
    Image.fromarray(blocks.repeat(30, 0).repeat(30, 1)).save(tmp_path / "in" / "blocks.png")
    text = f'sources = ["{tmp_path}/in"]\nn = 6\nsplits = {{ train = 1.0 }}\n[[tasks]]\ntask = "shuffle"\nvariant = "1x3"'
    done = cli("build", "--recipe", recipe_file(tmp_path, text), "--out", tmp_path / "out", "--workers", 1)
    assert done.returncode == 0, done.stderr
    drops = json.loads((tmp_path / "out" / "manifest.json").read_text())["drops"]
    assert drops["shuffle/1x3"]["a patch without contours"] == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('sources = ["x"]\ncount = 3', "count: Extra inputs"),
        ('sources = ["x"]\nn = 0', "n: Input should be greater"),
        ('sources = ["x"]\n[[tasks]]\ntask = "jigsaw"\nvariant = "2x2"', "unknown task 'jigsaw'"),
        (
            'sources = ["x"]\n[[tasks]]\ntask = "flip"\nvariant = "9x9"',
            "unknown variant '9x9' of flip; known: 2x2, 2x2-turned",
        ),
        (
            'sources = ["x"]\ntasks = [{ task = "flip", variant = "2x2", count = 3 }, { task = "crop", variant = "square"}]',
            "a count, or none; without one: crop/square",
        ),
        ('sources = ["x"]\nprofile = "easy"', "unknown profile 'easy'; known: paper"),
        ('sources = ["x"]\n[splits]\ntrain = 0.5', "sum to 1"),
        ('sources = ["x"]\n[splits]\n"../x" = 1.0', "letters and digits"),
        ("n = 3", "sources: Field required"),
        ("n = ", "cannot read"),
    ],
)
def test_a_wrong_recipe_names_its_fault(tmp_path, text, message):
    with pytest.raises(RecipeError, match=message):
        Recipe.create(recipe_file(tmp_path, text), {})


def test_flags_override_the_file(recipe):
    assert Recipe.create(recipe, {"n": 7, "seed": None}).n == 7
    assert Recipe.create(recipe, {"n": None}).n == 2000


def test_a_source_without_depth_cannot_serve_depth_alone(tmp_path):
    Image.new("RGB", (100, 100)).save(tmp_path / "a.png")
    recipe = Recipe.create(None, {"sources": (str(tmp_path),), "tasks": [{"task": "depth", "variant": "order3"}]})
    with pytest.raises(SourceError, match="need depth"):
        Plan.create(recipe)


def test_apportion_sums_and_stays_within_one_of_its_share():
    slots = [(s, e) for s in ("train", "test") for e in all_variants()]
    rng = np.random.default_rng(0)
    for total in (1, 7, 100, 81_053):
        weights = dict(zip(slots, rng.uniform(0.1, 5, len(slots)), strict=True))
        parts = apportion(total, weights)
        assert sum(parts.values()) == total
        assert all(abs(n - total * weights[s] / sum(weights.values())) < 1 for s, n in parts.items())


def published(**flags):
    return Plan.create(Recipe.create(ROOT / "recipes" / "spatial-ssrl-81k.toml", {"sources": ("synthetic:20",), **flags}))


def rows_of_variants(plan, *splits):
    totals = Counter()
    for (split, entry), n in plan.quotas.items():
        totals[entry.name] += n * (split in (splits or plan.recipe.splits))
    return totals


def test_the_published_recipe_has_the_published_counts():
    counts = rows_of_variants(published(), "train")
    assert (counts["shuffle/2x2"], counts["shuffle/2x2-masked"]) == (4000, 4028)
    assert counts["shuffle/1x3"] + counts["shuffle/1x4"] == 4991
    assert counts["shuffle/3x1"] + counts["shuffle/4x1"] == 3009
    assert (counts["flip/2x2"], counts["crop/square"], counts["depth/order3"]) == (4005, 20_200, 20_620)
    assert counts["position/single"] + counts["position/diagonal"] == 20_200
    assert sum(counts.values()) == 81_053


def test_counts_stay_exact_in_uneven_splits():
    plan = published(n=81_053, splits={"train": 0.937, "validation": 0.023, "test": 0.04})
    assert rows_of_variants(plan) == rows_of_variants(published(), "train")
    for split, share in plan.recipe.splits.items():
        assert abs(sum(n for (s, _), n in plan.quotas.items() if s == split) - share * 81_053) < 1


def test_another_number_scales_the_counts():
    counts = rows_of_variants(published(n=811))
    assert sum(counts.values()) == 811
    assert counts["crop/square"] == 202


def test_counts_that_no_source_serves_are_not_handed_on(tmp_path):
    Image.new("RGB", (100, 100)).save(tmp_path / "a.png")
    plan = published(sources=(str(tmp_path),))
    counts = rows_of_variants(plan, "train")
    assert counts["crop/square"] == 20_200
    assert sum(counts.values()) == 81_053 - 20_620 - 20_200


def test_a_dry_run_measures_and_writes_nothing(recipe, tmp_path, cli):
    done = cli("build", "--recipe", recipe, *SMALL, "--dry-run", "--out", tmp_path / "x")
    assert done.returncode == 0, done.stderr
    assert "90 rows in 5 shards from 30 scenes" in done.stdout
    assert "minutes of CPU" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_shards_share_every_quota_and_no_scene_in_a_round():
    plan = Plan.create(Recipe(sources=("synthetic:50",), n=1003, rows_per_shard=100))
    totals = Counter()
    for shard in range(plan.shards):
        totals.update(plan.shard_quotas(shard))
    assert dict(totals) == plan.quotas
    for number in (0, 3):
        dealt = [ref for shard in range(plan.shards) for ref in plan.deal(shard, number)]
        assert sorted(dealt, key=lambda r: r.key) == list(plan.refs)
    assert [k for ks in plan.rounds for k in ks] == list(range(plan.recipe.rows_per_scene))


def test_splits_take_their_shares_of_the_scenes():
    shares = {"train": 0.7, "validation": 0.1, "test": 0.2}
    counts = Counter(split_of(f"{i:032x}", shares) for i in range(20_000))
    assert all(abs(counts[name] / 20_000 - share) < 0.015 for name, share in shares.items())
