"""Each layout, written as its data set writes it, is read back; and every wrong folder says what was looked for."""

import h5py
import numpy as np
import pytest
from PIL import Image

from spatial_ssrl.errors import SceneError, SourceError
from spatial_ssrl.scene import Intrinsics
from spatial_ssrl.sources import SOURCES, open_source

DEPTH = np.linspace(0.5, 4, 96 * 80, dtype=np.float32).reshape(80, 96)
RGB = np.random.default_rng(0).integers(0, 256, (80, 96, 3), dtype=np.uint8)


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RGB).save(path)
    return path


def one(text):
    source = open_source(text, 1, 0)
    return source.load(source.list_keys()[0])


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


def test_diode(tmp_path):
    picture(tmp_path / "val/indoors/scene/scan/x.png")
    mask = np.ones_like(DEPTH)
    mask[:10] = 0
    np.save(tmp_path / "val/indoors/scene/scan/x_depth.npy", DEPTH[..., None])
    np.save(tmp_path / "val/indoors/scene/scan/x_depth_mask.npy", mask)
    scene = one(f"diode:{tmp_path}")
    assert np.isnan(scene.depth[:10]).all()
    assert np.array_equal(scene.depth[10:], DEPTH[10:])
    assert scene.depth_unit == "metre"


def test_megadepth(tmp_path):
    picture(tmp_path / "0000/dense0/imgs/v.jpg")
    (tmp_path / "0000/dense0/depths").mkdir()
    values = DEPTH.copy()
    values[0], values[1] = 0, -1
    with h5py.File(tmp_path / "0000/dense0/depths/v.h5", "w") as file:
        file["depth"] = values
    scene = one(f"megadepth:{tmp_path}")
    assert np.isnan(scene.depth[:2]).all()
    assert np.array_equal(scene.depth[2:], DEPTH[2:])
    assert scene.depth_unit == "relative"


def test_tum_pairs_by_time(tmp_path):
    for stamp in ("100.010", "100.500", "101.000"):
        picture(tmp_path / f"rgb/{stamp}.png")
    (tmp_path / "depth").mkdir()
    for i, stamp in enumerate(("100.000", "100.485", "101.100"), start=1):
        Image.fromarray(np.full((80, 96), 5000 * i, np.uint16)).save(tmp_path / f"depth/{stamp}.png")
    source = open_source(f"tum:{tmp_path}", 1, 0)
    assert [float(source.load(k).depth.max()) for k in source.list_keys()[:2]] == [1.0, 2.0]
    with pytest.raises(SceneError, match="no depth file"):
        source.load(source.list_keys()[2])


def test_pairs_match_by_what_the_wildcards_stand_for(tmp_path):
    for folder in ("seq-01", "seq-02"):
        for i in (1, 2):
            picture(tmp_path / f"{folder}/frame-{i}.color.png")
            value = 1000 * i + (10 if folder == "seq-02" else 0)
            Image.fromarray(np.full((80, 96), value, np.uint16)).save(tmp_path / f"{folder}/frame-{i}.depth.png")
    text = f"pairs:{tmp_path}?image=**/*.color.png&depth=**/*.depth.png&scale=1000&invalid=0,65535&intrinsics=50,51,48,40"
    source = open_source(text, 1, 0)
    depths = {key: float(source.load(key).depth.max()) for key in source.list_keys()}
    assert depths == {
        "seq-01/frame-1.color.png": 1.0,
        "seq-01/frame-2.color.png": 2.0,
        "seq-02/frame-1.color.png": np.float32(1.01),
        "seq-02/frame-2.color.png": np.float32(2.01),
    }
    assert source.load("seq-01/frame-1.color.png").intrinsics == Intrinsics(50, 51, 48, 40)


def test_pairs_match_across_suffixes_and_sizes(tmp_path):
    picture(tmp_path / "color/7.png")
    (tmp_path / "depth").mkdir()
    Image.fromarray((DEPTH[::2, ::2] * 1000).astype(np.uint16)).save(tmp_path / "depth/7.pgm")
    scene = one(f"pairs:{tmp_path}?image=color/*&depth=depth/*")
    assert scene.depth.shape == (80, 96)
    assert len(np.unique(scene.depth)) <= 40 * 48


def test_depth_of_another_shape_is_refused(tmp_path):
    picture(tmp_path / "color/7.png")
    (tmp_path / "depth").mkdir()
    Image.fromarray(np.full((96, 80), 1000, np.uint16)).save(tmp_path / "depth/7.png")
    with pytest.raises(SceneError, match="depth of another shape"):
        one(f"pairs:{tmp_path}?image=color/*&depth=depth/*")


@pytest.mark.parametrize("layout", sorted(set(SOURCES) - {"synthetic"}))
def test_a_wrong_folder_is_told_what_was_looked_for_and_found(tmp_path, layout):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(SourceError, match=r"looked for .* found \.txt"):
        open_source(f"{layout}:{tmp_path}", 1, 0).list_keys()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no/such/folder", "no such file or folder"),
        ("kinect:.", "known: folder, list"),
        ("tum:.?scale=2", "unknown option 'scale'; known: intrinsics, max_difference"),
        ("pairs:.?scale=x", "could not convert"),
        ("pairs:.?intrinsics=1,2", "four numbers"),
        ("synthetic:many", "expected synthetic"),
        ("synthetic:3?size=10x10", "at least 64 px"),
        ("synthetic:3?style=gothic", "known: varied, plain"),
        ("synthetic?colour=red", "known: size, style"),
    ],
)
def test_a_wrong_source_is_told_what_exists(text, message):
    with pytest.raises(SourceError, match=message):
        open_source(text, 1, 0)


def test_rooms_are_as_many_and_as_large_as_asked():
    assert len(open_source("synthetic", 12, 0).list_keys()) == 12
    source = open_source("synthetic:3?size=112x96&style=plain", 12, 0)
    assert len(source.list_keys()) == 3
    first, again = source.load("room-00000000"), source.load("room-00000000")
    assert first.size == (112, 96)
    assert first.id == again.id
    assert first.id != open_source("synthetic:3?size=112x96&style=plain", 12, 1).load("room-00000000").id


@pytest.mark.parametrize(
    ("text", "scenes", "metres"),
    [
        ("diode:{}/diode", 1, (0.6, 300)),
        ("megadepth:{}/megadepth", 1, None),
        ("tum:{}/tum", 2, (0.3, 12)),
        ("pairs:{}/7scenes?image=**/*.color.jpg&depth=**/*.depth.png&invalid=0,65535", 6, (0.3, 12)),
        ("pairs:{}/pgm_mm?image=color/*&depth=depth/*", 3, (0.3, 12)),
        ("pairs:{}/kitti?image=image/*&depth=groundtruth_depth/*&scale=256", 2, (1, 100)),
        ("pairs:{}/arkit?image=image.jpg&depth=depth.png", 1, (0.3, 12)),
    ],
)
def test_real_pairs(real_data, text, scenes, metres):
    source = open_source(text.format(real_data / "rgbd"), 1, 0)
    assert len(source.list_keys()) == scenes
    for key in source.list_keys():
        scene = source.load(key)
        known = scene.depth[~np.isnan(scene.depth)]
        assert known.size > 0.01 * scene.depth.size
        if metres:
            assert metres[0] <= np.percentile(known, 1) <= np.percentile(known, 99) <= metres[1]
