from pathlib import Path

import pytest

from conftest import REAL


@pytest.fixture(scope="session")
def real_eval() -> Path:
    """Folder of real benchmark tables and of published replies."""
    if not (REAL / "eval").is_dir():
        pytest.skip("no real data: set SPATIAL_SSRL_TEST_DATA to a folder with eval/")
    return REAL / "eval"
