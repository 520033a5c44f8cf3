"""Each layout, written as its data set writes it, is read back; and every wrong folder says what was looked for."""

import h5py
import numpy as np
import pytest
from PIL import Image

from conftest import ROOT
from spatial_ssrl.build.draw import draw_row
from spatial_ssrl.errors import SceneError, SourceError
from spatial_ssrl.scene import Intrinsics
from spatial_ssrl.sources import SOURCES, open_source
from spatial_ssrl.sources.pairs import fill_gaps
from spatial_ssrl.tasks import TASKS, Drop, make_task

DEPTH = np.linspace(0.5, 4, 96 * 80, dtype=np.float32).reshape(80, 96)
RGB = np.random.default_rng(0).integers(0, 256, (80, 96, 3), dtype=np.uint8)


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RGB).save(path)
    return path


def one(text):
    source = open_source(text, 1, 0)
    return source.load(source.list_keys()[0])


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


def depth_png(path, metres, scale=1000):
    """A 16-bit PNG of a depth map, 0 where it is NaN."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = np.nan_to_num(np.asarray(metres, np.float64) * scale).round().astype(np.uint16)
    Image.fromarray(stored).save(path)
    return path


def matrix(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(" ".join(map(str, row)) for row in rows) + "\n")


def close(depth, expected, to=0.001):
    """Whether two depth maps have their gaps in the same places and agree within `to` metres elsewhere."""
    return np.array_equal(np.isnan(depth), np.isnan(expected)) and np.nanmax(np.abs(depth - expected)) <= to


WITH_GAP = np.where(np.arange(96) < 10, np.nan, DEPTH)


def test_7scenes_depth_is_projected_into_the_picture(tmp_path):
    """A wall 2 m away, with a step 1 m nearer right of column 400 of the depth camera."""
    Image.fromarray(np.zeros((480, 640, 3), np.uint8)).save(tmp_path / "frame-000000.color.png")
    wall = np.full((480, 640), 2000, np.uint16)
    wall[:, 400:] = 1000
    wall[:40], wall[-40:] = 65535, 0
    Image.fromarray(wall).save(tmp_path / "frame-000000.depth.png")
    scene = one(f"7scenes:{tmp_path}")
    assert scene.intrinsics == Intrinsics(525, 525, 320, 240)
    x, y, z = (400 - 320) / 585, (440 - 240) / 585, 1.0
    edge = (x - 0.025 / z) * 525 + 320
    assert np.isnan(scene.depth[int(y * 525 + 240) + 2 :]).all()
    assert abs(np.nanmin(scene.depth) - 1) < 1e-6
    assert abs(np.argmax(scene.depth[240] == 1) - edge) <= 1
    assert set(np.unique(scene.depth[~np.isnan(scene.depth)])) == {1.0, 2.0}


def test_scannet_looks_rays_up_in_a_smaller_depth_map(tmp_path):
    folder = tmp_path / "scene0000_00"
    Image.fromarray(RGB.repeat(2, 0).repeat(2, 1)).save((folder / "color").mkdir(parents=True) or folder / "color/0.jpg")
    depth_png(folder / "depth/0.png", WITH_GAP)
    matrix(folder / "intrinsic/intrinsic_color.txt", (190, 0, 96, 0), (0, 190, 80, 0), (0, 0, 1, 0), (0, 0, 0, 1))
    matrix(folder / "intrinsic/intrinsic_depth.txt", (100, 0, 48, 0), (0, 100, 40, 0), (0, 0, 1, 0), (0, 0, 0, 1))
    scene = one(f"scannet:{tmp_path}")
    assert scene.intrinsics == Intrinsics(190, 190, 96, 80)
    for row, column in ((80, 96), (10, 40), (150, 180)):
        stored = round((row - 80) / 190 * 100 + 40), round((column - 96) / 190 * 100 + 48)
        assert abs(scene.depth[row, column] - WITH_GAP[stored]) < 0.001
    assert np.isnan(scene.depth[80, 191]), "no ray of the depth map"


def test_scannet_frames_without_intrinsics_go_by_shape(tmp_path):
    picture(tmp_path / "scene0000_00/color/000000.jpg")
    depth_png(tmp_path / "scene0000_00/depth/000000.png", DEPTH[::2, ::2])
    scene = one(f"scannet:{tmp_path}")
    assert scene.intrinsics is None
    assert close(scene.depth, DEPTH[::2, ::2].repeat(2, 0).repeat(2, 1))


def test_sunrgbd_bits_are_rotated_back(tmp_path):
    folder = tmp_path / "kv2/kinect2data/000002_2014-05-26_14-23-37_260595134347_rgbf000103-resize"
    picture(folder / "image/0000103.jpg")
    metres = WITH_GAP * 3
    stored = np.nan_to_num(metres * 1000).round().astype(np.uint16)
    (folder / "depth").mkdir()
    Image.fromarray(stored << 3 | stored >> 13).save(folder / "depth/0000999.png")
    matrix(folder / "intrinsics.txt", (529.5, 0, 365), (0, 529.5, 265), (0, 0, 1))
    scene = one(f"sunrgbd:{tmp_path}")
    assert close(scene.depth, np.where(stored <= 8000, metres, np.nan))
    assert scene.intrinsics == Intrinsics(529.5, 529.5, 365, 265)


def test_kitti_raw_data_beside_annotated_depth(tmp_path):
    drive, frame = "2011_09_26_drive_0001_sync", "0000000005.png"
    picture(tmp_path / "raw/2011_09_26" / drive / "image_02/data" / frame)
    picture(tmp_path / "raw/2011_09_26" / drive / "image_03/data" / frame)
    depth_png(tmp_path / "annotated/train" / drive / "proj_depth/groundtruth/image_02" / frame, WITH_GAP, 256)
    line = "721.5 0 609.6 44.9 0 721.6 172.9 0.2 0 0 1 0.003"
    (tmp_path / "raw/2011_09_26/calib_cam_to_cam.txt").write_text(f"calib_time: 09-Jan-2012\nP_rect_02: {line}\n")
    source = open_source(f"kitti:{tmp_path}", 1, 0)
    left, right = source.list_keys()
    scene = source.load(left)
    assert close(scene.depth, WITH_GAP, 1 / 256)
    assert scene.intrinsics == Intrinsics(721.5, 721.6, 609.6, 172.9)
    with pytest.raises(SceneError, match="no depth file"):
        source.load(right)


def test_kitti_selection(tmp_path):
    folder, name = tmp_path / "depth_selection/val_selection_cropped", "2011_09_26_drive_0002_sync_{}_0000000005_image_02"
    picture(folder / "image" / f"{name.format('image')}.png")
    depth_png(folder / "groundtruth_depth" / f"{name.format('groundtruth_depth')}.png", WITH_GAP, 256)
    matrix(folder / "intrinsics" / f"{name.format('image')}.txt", (721.5, 0, 596.6, 0, 721.5, 149.9, 0, 0, 1))
    scene = one(f"kitti:{tmp_path}")
    assert close(scene.depth, WITH_GAP, 1 / 256)
    assert scene.intrinsics == Intrinsics(721.5, 721.5, 596.6, 149.9)


def test_arkitscenes_takes_the_largest_pictures_and_the_nearest_depth(tmp_path):
    folder = tmp_path / "Training/40753679"
    Image.fromarray(RGB.repeat(4, 0).repeat(4, 1)).save(
        (folder / "wide").mkdir(parents=True) or folder / "wide/40753679_6791.022.png"
    )
    picture(folder / "lowres_wide/40753679_6791.018.png")
    depth_png(folder / "lowres_depth/40753679_6791.018.png", DEPTH)
    depth_png(folder / "lowres_depth/40753679_6791.035.png", DEPTH * 2)
    confidence = np.full((80, 96), 2, np.uint8)
    confidence[:10] = 0
    (folder / "confidence").mkdir()
    Image.fromarray(confidence).save(folder / "confidence/40753679_6791.018.png")
    matrix(folder / "wide_intrinsics/40753679_6791.023.pincam", (384, 320, 300.5, 300.5, 190, 161))
    scene = one(f"arkitscenes:{tmp_path}")
    assert scene.origin == ("arkitscenes", "Training/40753679/wide/40753679_6791.022.png")
    assert close(scene.depth, np.where(confidence == 0, np.nan, DEPTH).repeat(4, 0).repeat(4, 1))
    assert scene.intrinsics == Intrinsics(300.5, 300.5, 190, 161)


def middlebury(folder, calibration):
    picture(folder / "im0.png")
    disparity = 994.978 * 0.193001 / DEPTH - 31.086
    disparity[:5] = np.inf
    (folder / "disp0.pfm").write_bytes(b"Pf\n96 80\n-1.0\n" + disparity[::-1].astype("<f4").tobytes())
    (folder / "calib.txt").write_text(calibration)
    return np.where(np.isinf(disparity), np.nan, DEPTH)


def test_middlebury_disparity_becomes_depth(tmp_path):
    cameras = "cam0=[994.978 0 311.193; 0 994.978 254.877; 0 0 1]\ncam1=[994.978 0 342.279; 0 994.978 254.877; 0 0 1]\n"
    expected = middlebury(tmp_path / "Motorcycle", cameras + "doffs=31.086\nbaseline=193.001\nwidth=741\nheight=497\n")
    scene = one(f"middlebury:{tmp_path}")
    assert close(scene.depth, expected)
    assert scene.intrinsics == Intrinsics(994.978, 994.978, 311.193, 254.877)


def test_middlebury_without_its_numbers_is_refused(tmp_path):
    middlebury(tmp_path, "cam0=[1 0")
    with pytest.raises(SceneError, match=r"unreadable calib\.txt"):
        one(f"middlebury:{tmp_path}")
    (tmp_path / "calib.txt").unlink()
    with pytest.raises(SceneError, match="options intrinsics, baseline, doffs"):
        one(f"middlebury:{tmp_path}")


def nyu_mat(path, **arrays):
    """A MATLAB v7.3 file: HDF5 after a header of 512 bytes, axes in MATLAB's order, that is reversed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for key, array in arrays.items():
            file[key] = array.T
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


def nyu_scene():
    rgb = np.random.default_rng(1).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    depth = np.linspace(0.7, 9, 480 * 640, dtype=np.float32).reshape(480, 640)
    depth[100:110], depth[200] = 0, 10
    return rgb, depth


def test_nyu_mat_holds_many_scenes_with_reversed_axes(tmp_path):
    rgb, raw = nyu_scene()
    images, raws = np.stack([rgb * 0, rgb], axis=-1), np.stack([raw * 0, raw], axis=-1)
    nyu_mat(tmp_path / "nyu_depth_v2_labeled.mat", images=images, rawDepths=raws, depths=np.full_like(raws, 3))
    (tmp_path / "splits.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    for text in (f"nyu:{tmp_path}", f"{tmp_path}/nyu_depth_v2_labeled.mat"):
        source = open_source(text, 1, 0)
        assert list(source.list_keys()) == [f"nyu_depth_v2_labeled.mat#000{i}" for i in (0, 1)]
    scene = source.load("nyu_depth_v2_labeled.mat#0001")
    assert np.array_equal(scene.rgb, rgb[44:471, 40:601])
    assert close(scene.depth, np.where((raw > 0) & (raw < 10), raw, np.nan)[44:471, 40:601])
    assert scene.intrinsics == Intrinsics(518.857901, 519.469611, 325.582449 - 40, 253.736166 - 44)
    filled = open_source(f"nyu:{tmp_path}?depth=depths", 1, 0)
    assert np.unique(filled.load(filled.list_keys()[1]).depth) == [3]


def test_another_mat_is_told_what_it_lacks(tmp_path):
    text = f"nyu:{tmp_path}/x.mat"
    nyu_mat(tmp_path / "x.mat", images=np.zeros((480, 640, 3, 2), np.uint8), labels=np.zeros((480, 640, 2)))
    with pytest.raises(SourceError, match=r"looked for .*rawDepths.* found .*labels"):
        one(text)
    (tmp_path / "x.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(SourceError, match=r"no HDF5 \(MATLAB v7.3\) file"):
        one(text)
    with pytest.raises(SourceError, match="expected one of rawDepths, depths"):
        one(f"{text}?depth=labels")


def test_nyu_as_png(tmp_path):
    rgb, raw = nyu_scene()
    (tmp_path / "bathroom_0001").mkdir()
    Image.fromarray(rgb).save(tmp_path / "bathroom_0001/rgb_00045.png")
    depth_png(tmp_path / "bathroom_0001/sync_depth_00045.png", raw)
    scene = one(f"nyu-sync:{tmp_path}")
    assert np.array_equal(scene.rgb, rgb[44:471, 40:601])
    assert close(scene.depth, np.where(raw > 0, raw, np.nan)[44:471, 40:601])


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


def test_the_command_and_the_guide_list_every_layout(cli):
    guide = (ROOT / "docs/sources.md").read_text()
    done = cli("sources")
    assert done.returncode == 0
    for name, kind in SOURCES.items():
        assert f"`{name}:" in guide
        assert f" {name}:" in done.stdout
        assert all(f"{option}=" in done.stdout for option in kind.options())


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


MOTORCYCLE = "intrinsics=994.978,994.978,311.193,254.877&baseline=193.001&doffs=31.086"


@pytest.mark.parametrize(
    ("text", "scenes", "metres"),
    [
        ("diode:{}/diode", 1, (0.6, 300)),
        ("megadepth:{}/megadepth", 1, None),
        ("tum:{}/tum", 2, (0.3, 12)),
        ("7scenes:{}/7scenes", 6, (0.3, 12)),
        ("kitti:{}/kitti", 2, (1, 100)),
        ("sunrgbd:{}/sunrgbd", 1, (0.3, 8)),
        ("middlebury:{}/middlebury?" + MOTORCYCLE, 1, (1, 10)),
        ("pairs:{}/pgm_mm?image=color/*&depth=depth/*", 3, (0.3, 12)),
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


def steps_meet_edges(scene):
    """Mean brightness gradient of the picture where depth jumps by 8%, over that everywhere."""
    grey = scene.rgb.mean(axis=2)
    gradient = np.hypot(*np.gradient(grey))
    gradient = np.minimum(gradient, np.percentile(gradient, 95))
    with np.errstate(invalid="ignore"):
        jumps = np.abs(scene.depth[:, 2:] - scene.depth[:, :-2]) > 0.08 * scene.depth[:, 2:]
    return gradient[20:-20, 21:-21][jumps[20:-20, 20:-20]].mean() / gradient.mean()


def test_7scenes_depth_meets_the_picture_better_once_projected(real_data):
    """The files say nothing of registration: on real frames, depth as stored misses the edges of the picture."""
    projected = open_source(f"7scenes:{real_data}/rgbd/7scenes", 1, 0)
    stored = open_source(f"pairs:{real_data}/rgbd/7scenes?image=**/*.color.jpg&depth=**/*.depth.png&invalid=0,65535", 1, 0)
    for key in projected.list_keys():
        assert steps_meet_edges(projected.load(key)) > 1.15 * steps_meet_edges(stored.load(key))


def test_gaps_are_filled_where_readings_agree_and_not_across_an_edge():
    rng = np.random.default_rng(0)
    slope = np.linspace(10, 12, 200, dtype=np.float32)[:, None] * np.ones(300, np.float32)
    slope[:, 150:] *= 1.5
    sparse = np.where(rng.random(slope.shape) < 0.3, slope, np.float32(np.nan))
    filled = fill_gaps(sparse)
    known, new = ~np.isnan(sparse), np.isnan(sparse) & ~np.isnan(filled)
    assert np.array_equal(filled[known], sparse[known])
    assert new[:, 10:140].mean() > 0.3
    assert np.abs(filled[new] / slope[new] - 1).max() <= 0.025
    assert np.isnan(fill_gaps(np.where(rng.random(slope.shape) < 0.005, slope, np.float32(np.nan)))).mean() > 0.99


def test_filled_gaps_agree_with_readings_held_out(real_data):
    """A tenth of the readings of real frames is hidden: what is filled in their place is what they were."""
    source, rng = (
        open_source(f"pairs:{real_data}/rgbd/kitti?depth=groundtruth_depth/*&scale=256", 1, 0),
        np.random.default_rng(0),
    )
    for key in source.list_keys():
        depth = source.load(key).depth
        held = ~np.isnan(depth) & (rng.random(depth.shape) < 0.1)
        error = np.abs(fill_gaps(np.where(held, np.float32(np.nan), depth))[held] / depth[held] - 1)
        assert (~np.isnan(error)).mean() > 0.3
        assert np.nanpercentile(error, 99) < 0.025
        assert (error > 0.05).sum() < 0.001 * error.size


@pytest.mark.parametrize("layout", ["kitti", "megadepth"])
def test_sparse_depth_gives_rows(real_data, layout):
    source = open_source(f"{layout}:{real_data}/rgbd/{layout}", 1, 0)
    scenes = [source.load(key).fit(1024) for key in source.list_keys()]
    for name in ("depth", "position", "distance") if source.unit == "metre" else ("depth", "position"):
        for variant in TASKS[name].variants:
            task = make_task(name, variant, "paper")
            drawn = [draw_row(scene, task, "paper", 0, "train", k) for scene in scenes for k in range(4)]
            assert any(not isinstance(row, Drop) for row in drawn), task
