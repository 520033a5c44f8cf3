"""Pictures in folders, lists, COCO, tar shards, tables and object stores: what is listed, and what each key loads."""

import io
import json
import os
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from spatial_ssrl.build.plan import Plan
from spatial_ssrl.build.recipe import Recipe
from spatial_ssrl.errors import SceneError, SourceError
from spatial_ssrl.scene import decode_rgb
from spatial_ssrl.sources import open_source

RGB = np.random.default_rng(0).integers(0, 256, (80, 96, 3), dtype=np.uint8)


def png(shade=0):
    buffer = io.BytesIO()
    Image.fromarray(RGB // (1 + shade)).save(buffer, "PNG")
    return buffer.getvalue()


def picture(path, shade=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        path.write_bytes(png(shade))
    else:
        Image.fromarray(RGB).save(path)
    return path


def opened(text):
    source = open_source(str(text), 1, 0)
    return source, list(source.list_keys())


def one(text):
    source, keys = opened(text)
    return source.load(keys[0])


def test_folder_finds_pictures_at_any_depth(tmp_path):
    for name in ("a.jpg", "b/c.PNG", "b/d/e.webp", "b/d/f.tiff", "g.bmp"):
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    source = open_source(str(tmp_path), 1, 0)
    assert list(source.list_keys()) == ["a.jpg", "b/c.PNG", "b/d/e.webp", "b/d/f.tiff", "g.bmp"]
    assert source.load("b/c.PNG").origin == ("folder", "b/c.PNG")


def test_folder_of_one_picture(tmp_path):
    assert np.array_equal(one(str(picture(tmp_path / "a.png"))).rgb, RGB)


def test_folder_survives_a_link_to_itself(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert list(open_source(str(tmp_path), 1, 0).list_keys()) == ["a.png"]


def test_names_that_are_no_utf8_are_read_and_spelled(tmp_path):
    place = os.fsencode(tmp_path) + b"/caf\xe9.png"
    with open(place, "wb") as file:
        file.write(png())
    source, keys = opened(tmp_path)
    scene = source.load(keys[0])
    assert np.array_equal(scene.rgb, RGB)
    assert scene.origin == ("folder", "caf\\xe9.png")


def test_pipes_are_no_pictures_and_broken_links_are_told_when_they_are_read(tmp_path):
    picture(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "b.png").symlink_to("nowhere.png")
    (tmp_path / "c.png").symlink_to("a.png")
    (tmp_path / "0.png").symlink_to("0.png")
    source, keys = opened(tmp_path)
    assert keys == ["0.png", "a.png", "b.png", "c.png"]
    for name in ("0.png", "b.png"):
        with pytest.raises(SceneError, match="unreadable file"):
            source.load(name)


def test_what_a_list_names_is_read_only_where_it_is_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(1 << 31)
    lines = {"pipe.png": "unreadable file", "gone.png": "unreadable file", ".": "unreadable file", "huge.png": "too large"}
    (tmp_path / "list.txt").write_text("\n".join(lines))
    source, keys = opened(tmp_path / "list.txt")
    for key in keys:
        with pytest.raises(SceneError, match=lines[key]):
            source.load(key)


def test_a_list_of_paths(tmp_path):
    picture(tmp_path / "photos/a.png")
    elsewhere = picture(tmp_path / "elsewhere/b.png", shade=1)
    (tmp_path / "photos/list.txt").write_bytes(f"a.png\r\n\n{elsewhere}\nfile://{elsewhere}\na.png\n".encode())
    for text in (tmp_path / "photos/list.txt", f"list:{tmp_path}/photos/list.txt"):
        source, keys = opened(text)
        assert keys == ["a.png", str(elsewhere), f"file://{elsewhere}"]
        assert [source.load(key).rgb.max() for key in keys] == [255, 127, 127]


def coco(path, *names):
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"id": i, "file_name": name, "width": 96, "height": 80} for i, name in enumerate(names)]
    path.write_text(json.dumps({"info": {}, "licenses": [], "images": images, "annotations": []}))
    return path


def test_coco(tmp_path):
    for split in ("train2017", "val2017"):
        picture(tmp_path / split / "000000000009.jpg")
        coco(tmp_path / f"annotations/instances_{split}.json", "000000000009.jpg")
        coco(tmp_path / f"annotations/captions_{split}.json", "000000000009.jpg")
    source, keys = opened(f"coco:{tmp_path}")
    assert keys == ["train2017/000000000009.jpg", "val2017/000000000009.jpg"]
    assert source.load(keys[0]).size == (96, 80)
    source, keys = opened(f"coco:{tmp_path}/annotations/instances_val2017.json")
    assert len(keys) == 1
    assert source.load(keys[0]).size == (96, 80)


def test_annotations_in_coco_form_of_other_data(tmp_path):
    picture(tmp_path / "set/train/x.png")
    beside = coco(tmp_path / "set/train/_annotations.coco.json", "x.png")
    apart = coco(tmp_path / "set/labels.json", "x.png")
    assert one(f"coco:{beside}").size == one(f"coco:{apart}?images=train").size == (96, 80)
    for text in ("[1]", "{", '{"images": [{"id": 3}]}', '{"info": {}}'):
        apart.write_text(text)
        with pytest.raises(SourceError, match="holds no list of pictures"):
            one(f"coco:{apart}")


def shard(path, members, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_shards(tmp_path, form):
    long = "é" * 60 + ".png"
    for i in range(2):
        members = {f"{i}00.png": png(i), f"{i}00.json": b"{}", f"{i}00.txt": b"a caption"}
        shard(tmp_path / f"0000{i}.tar", members | ({} if form == tarfile.USTAR_FORMAT else {long: png()}), format=form)
    source, keys = opened(f"tar:{tmp_path}")
    expected = [f"0000{i}.tar/{name}" for i in range(2) for name in (f"{i}00.png", long)]
    assert keys == [key for key in expected if form != tarfile.USTAR_FORMAT or long not in key]
    assert source.load("00001.tar/100.png").rgb.max() == 127
    assert all(source.load(key).size == (96, 80) for key in keys)


def test_names_in_a_tar_lead_nowhere(tmp_path):
    outside = picture(tmp_path / "outside.png", shade=1)
    shard(tmp_path / "in/a.tar", {"../outside.png": png(), str(outside): png(), "../../../etc/passwd.png": b"root"})
    before = sorted(tmp_path.rglob("*"))
    source, keys = opened(tmp_path / "in/a.tar")
    assert source.load("a.tar/../outside.png").rgb.max() == source.load(f"a.tar/{outside}").rgb.max() == 255
    with pytest.raises(SceneError, match="not a picture"):
        source.load("a.tar/../../../etc/passwd.png")
    assert len(keys) == 3
    assert sorted(tmp_path.rglob("*")) == before


def test_links_in_a_tar_are_no_pictures(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(picture(tmp_path / "real.png"), "real.png")
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            info = tarfile.TarInfo(f"{kind.decode()}.png")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    assert opened(tmp_path / "a.tar")[1] == ["a.tar/real.png"]


def test_a_damaged_tar_gives_what_it_holds_and_is_listed(tmp_path):
    whole = shard(tmp_path / "whole.tar", {f"{i}.png": png(i) for i in range(3)}).read_bytes()
    third = len(png(0)) + len(png(1)) + 4 * 512
    (tmp_path / "cut.tar").write_bytes(whole[: third + 2000])
    (tmp_path / "garbled.tar").write_bytes(whole[: 512 + len(png(0))].ljust(third) + b"x" * 4096)
    (tmp_path / "empty.tar").write_bytes(b"")
    (tmp_path / "text.tar").write_text("no archive, but long enough to be read as a header " * 20)
    (tmp_path / "packed.tar").write_bytes(b"\x1f\x8b" + whole)
    source, keys = opened(f"tar:{tmp_path}")
    damaged = ["cut.tar", "empty.tar", "garbled.tar", "packed.tar", "text.tar"]
    assert [key for key in keys if key.endswith(".tar")] == damaged
    for key in damaged:
        with pytest.raises(SceneError, match="damaged archive"):
            source.load(key)
    assert source.load("cut.tar/0.png").size == source.load("garbled.tar/0.png").size == (96, 80)
    assert sum(key.startswith("whole.tar/") for key in keys) == 3


def huggingface(pictures):
    return pa.array(pictures, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


def test_parquet_of_structs_bytes_and_paths(tmp_path):
    picture(tmp_path / "data/there.png", shade=2)
    cells = [{"bytes": png(i % 2), "path": f"{i}.png"} for i in range(7)]
    cells += [{"bytes": None, "path": "there.png"}, None]
    table = pa.table({"image": huggingface(cells), "label": list(range(9))})
    pq.write_table(table, tmp_path / "data/train-00000-of-00001.parquet", row_group_size=3)
    source, keys = opened(f"parquet:{tmp_path}")
    assert keys == [f"data/train-00000-of-00001.parquet#{i}" for i in range(9)]
    assert [source.load(key).rgb.max() for key in keys[:8]] == [255, 127] * 3 + [255, 85]
    with pytest.raises(SceneError, match="no picture in this row"):
        source.load(keys[8])


def test_a_column_of_pictures_is_found_or_asked_for(tmp_path):
    columns = {"jpg": pa.array([png()], pa.large_binary()), "mask": pa.array([png(1)], pa.binary()), "n": pa.array([1])}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match=r"one column of pictures .* found jpg, mask of jpg, mask, n"):
        opened(tmp_path / "a.parquet")
    assert one(f"{tmp_path}/a.parquet?column=mask").rgb.max() == 127
    with pytest.raises(SourceError, match="column 'n' of pictures"):
        opened(f"{tmp_path}/a.parquet?column=n")


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_damaged_table_is_listed(tmp_path, suffix):
    (tmp_path / f"a.{suffix}").write_text("no table")
    pq.write_table(pa.table({"image": huggingface([{"bytes": png(), "path": None}] * 3)}), tmp_path / "b.parquet")
    whole = (tmp_path / "b.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(whole[:100] + bytes(1000) + whole[1100:])
    (tmp_path / "c.parquet").write_bytes(whole.replace(b"\x05image", b"\x05\x80mage", 1))
    source, keys = opened(f"{'datasets' if suffix == 'arrow' else suffix}:{tmp_path}")
    assert keys[0] == f"a.{suffix}"
    for key in keys:
        with pytest.raises(SceneError, match=r"damaged table|not a picture|truncated"):
            source.load(key)


def test_datasets_saved_to_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    pictures = [Image.fromarray(RGB // (1 + i % 2)) for i in range(7)]
    data = datasets.Dataset.from_dict({"image": pictures}, features=datasets.Features({"image": datasets.Image()}))
    data.save_to_disk(tmp_path / "saved/train", num_shards=2)
    data.to_parquet(tmp_path / "data.parquet")
    source, keys = opened(f"datasets:{tmp_path}/saved")
    assert len(keys) == 7
    assert [source.load(key).rgb.max() for key in keys] == [255, 127] * 3 + [255]
    assert np.array_equal(one(tmp_path / "data.parquet").rgb, RGB)


@pytest.fixture
def store():
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    yield memory
    memory.rm("/bucket", recursive=True)


def test_object_stores(store, tmp_path):
    rows = io.BytesIO()
    pq.write_table(pa.table({"image": huggingface([{"bytes": png(1), "path": None}])}), rows)
    contents = {
        "photos/a.png": png(),
        "photos/b/c.png": png(1),
        "photos/notes.txt": b"x",
        "shards/0.tar": shard(tmp_path / "0.tar", {"x.png": png(1)}).read_bytes(),
        "tables/t.parquet": rows.getvalue(),
    }
    for name, data in contents.items():
        store.pipe_file(f"/bucket/{name}", data)
    source, keys = opened("memory://bucket/photos")
    assert keys == ["a.png", "b/c.png"]
    assert [source.load(key).rgb.max() for key in keys] == [255, 127]
    assert one("memory://bucket/photos/b/c.png").origin == ("folder", "c.png")
    assert one("tar:memory://bucket/shards").rgb.max() == one("parquet:memory://bucket/tables").rgb.max() == 127
    store.rm("/bucket/photos/a.png")
    with pytest.raises(SceneError, match="unreadable file"):
        source.load("a.png")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("memory://bucket/nothing", "no such file or folder"),
        ("nowhere://bucket/x", "Protocol not known: nowhere"),
        ("ftp://127.0.0.1:1/x", "Connection refused"),
        ("tum:memory://bucket/x", "copy or mount it"),
        ("datasets:memory://bucket/x", "copy or mount it"),
    ],
)
def test_a_wrong_url_is_told(text, message):
    pytest.importorskip("fsspec")
    with pytest.raises(SourceError, match=message):
        opened(text)


def test_a_missing_object_store_package_is_named():
    pytest.importorskip("fsspec")
    try:
        import adlfs  # noqa: F401
    except ImportError:
        with pytest.raises(SourceError, match="adlfs"):
            opened("abfs://container/x")


def test_copies_are_found_in_files_and_tar_members_alike(tmp_path):
    picture(tmp_path / "photos/a.png")
    picture(tmp_path / "photos/b.png", shade=1)
    shard(tmp_path / "s.tar", {"same-as-a.png": png(), "other.png": png(2)})
    plan = Plan.create(Recipe(sources=(f"{tmp_path}/photos", f"{tmp_path}/s.tar"), n=4))
    assert plan.copies == (("tar:s.tar/same-as-a.png", "folder:a.png"),)
    assert [ref.key for ref in plan.refs] == ["a.png", "b.png", "s.tar/other.png"]


def test_spans_hold_the_encoded_picture(tmp_path):
    picture(tmp_path / "photos/a.png")
    shard(tmp_path / "s.tar", {"x.txt": b"1", "y.png": png(2)})
    for text in (tmp_path / "photos", tmp_path / "s.tar"):
        source, keys = opened(text)
        span = source.span(keys[0])
        with span.path.open("rb") as file:
            file.seek(span.start)
            assert np.array_equal(decode_rgb(file.read(span.size)), source.load(keys[0]).rgb)
