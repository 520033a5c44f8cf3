import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spatial_ssrl.rng import generator
from spatial_ssrl.scene import Scene, decode_rgb
from spatial_ssrl.sources.rooms import render_room

os.environ["HF_HUB_OFFLINE"] = "1"

ROOT = Path(__file__).parent.parent
REAL = Path(os.environ.get("SPATIAL_SSRL_TEST_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Keep the datasets that are mapped from disk out of the user's cache."""
    os.environ.setdefault("HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("datasets")))


@pytest.fixture(scope="session")
def rooms() -> list[Scene]:
    return [render_room(generator("test room", i), 320, 240) for i in range(6)]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real photographs (rgb/) and RGB-D pairs (rgbd/)."""
    if not (REAL / "rgb").is_dir():
        pytest.skip("no real data: set SPATIAL_SSRL_TEST_DATA to a folder with rgb/ and rgbd/")
    return REAL


@pytest.fixture(scope="session")
def photographs(real_data: Path) -> list[Scene]:
    files = sorted((real_data / "rgb").glob("*.jpg"))[::12]
    return [Scene(decode_rgb(path.read_bytes()), origin=("folder", path.name)).fit(1024) for path in files]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A Qwen2.5-VL with random weights; made beforehand for environments that cannot make it."""
    if made := os.environ.get("SPATIAL_SSRL_TINY_MODEL"):
        return Path(made)
    from spatial_ssrl.train.tiny import make_tiny

    out = tmp_path_factory.mktemp("tiny") / "model"
    make_tiny("qwen2_5_vl", ["text"], None, 0, out)
    return out


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)


def run_cli(*arguments: object, timeout: float = 240, **kwargs: object) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "spatial_ssrl.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **kwargs)


@pytest.fixture
def cli():
    return run_cli
