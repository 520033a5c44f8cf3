"""The rooms: who may import whom, and what is never loaded on the way."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import spatial_ssrl

SOURCE = Path(spatial_ssrl.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

CORE = {"config", "errors", "rng", "scene", "row", "grammar", "prose"}
MAY_IMPORT = {
    "__init__": {"build", "errors", "reward", "row", "scene", "sources", "streaming", "tasks"},
    "errors": set(),
    "config": {"errors"},
    "rng": {"errors"},
    "scene": {"errors"},
    "row": {"errors", "rng"},
    "prose": set(),
    "grammar": {"errors", "prose"},
    "statistics": set(),
    "coldstart": {"rng"},
    "vlm": {"errors", "grammar", "row", "scene"},
    "sources": {"errors", "rng", "scene"},
    "tasks": {"errors", "grammar", "rng", "row", "scene"},
    "build": {"sources", "tasks", *CORE},
    "audit": {"errors", "grammar", "rng", "row", "scene", "statistics", "tasks"},
    "reward": {"errors", "grammar", "row"},
    "export": {"coldstart", "errors", "grammar", "reward", "row", "vlm"},
    "streaming": {"build", "reward", "sources", "tasks", "vlm", *CORE},
    "train": {"build", "coldstart", "config", "errors", "grammar", "reward", "rng", "row", "scene", "streaming", "vlm"},
    "evaluate": {"errors", "grammar", "prose", "rng", "row", "statistics", "vlm"},
    "report": {"audit", "errors", "row", "scene", "tasks"},
    "presets": set(),
}
THIRD_PARTY = {
    "config": {"pydantic"},
    "errors": set(),
    "rng": {"numpy"},
    "grammar": set(),
    "prose": set(),
    "scene": {"numpy", "jaxtyping", "PIL", "h5py", "simplejpeg", "xxhash"},
    "row": {"pyarrow"},
    "tasks": {"numpy", "jaxtyping", "PIL"},
    "sources": {"numpy", "jaxtyping", "pyarrow", "h5py", "fsspec"},
    "build": {"numpy", "pydantic", "ray", "upath"},
    "audit": {"numpy", "PIL", "pyarrow", "sklearn", "scipy", "imagehash"},
    "statistics": set(),
    "reward": set(),
    "coldstart": {"numpy"},
    "export": {"pyarrow"},
}
"""Packages that a room may import anywhere in it; rooms not listed may import any extra inside functions."""
HEAVY = {"torch", "transformers", "trl", "peft", "datasets", "h5py", "jinja2", "matplotlib", "rich", "accelerate"} | {
    "sklearn",
    "scipy",
    "imagehash",
    "fsspec",
    "upath",
    "openai",
    "av",
    "openpyxl",
    "vllm",
    "ray",
}


def room_of(path):
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node, node.module if node.module != "spatial_ssrl" else f"spatial_ssrl.{node.names[0].name}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_rooms_import_only_what_the_table_allows(path):
    room, tree = room_of(path), ast.parse(path.read_text())
    if room in ("cli",):
        return
    ours = {name.split(".")[1] for _, name in imports(tree) if name.startswith("spatial_ssrl.")}
    assert ours <= MAY_IMPORT[room] | {room}
    theirs = {name.split(".")[0] for _, name in imports(tree)} - set(sys.stdlib_module_names) - {"spatial_ssrl"}
    if room in THIRD_PARTY:
        assert theirs <= THIRD_PARTY[room]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_heavy_packages_are_imported_inside_functions(path):
    tree = ast.parse(path.read_text())
    typing_only = {n for node in tree.body if isinstance(node, ast.If) for n in ast.walk(node)}
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom) and node not in typing_only]
    names = {name.split(".")[0] for node in top for _, name in imports(ast.Module([node], []))}
    assert not names & HEAVY


@pytest.mark.parametrize(
    "code",
    [
        "import spatial_ssrl",
        "from spatial_ssrl import *",
        "import spatial_ssrl.cli, spatial_ssrl.build, spatial_ssrl.build.local, spatial_ssrl.build.store",
        "import spatial_ssrl.reward, spatial_ssrl.train, spatial_ssrl.evaluate, spatial_ssrl.report, spatial_ssrl.vlm",
        "import spatial_ssrl.audit",
        "import spatial_ssrl.export",
        "import spatial_ssrl.streaming",
        "from spatial_ssrl.cli import app; app(['--help'], standalone_mode=False)",
    ],
)
def test_nothing_heavy_is_loaded_on_the_way(code):
    check = f"import sys\n{code}\nloaded = {HEAVY - {'rich'}!r} & set(sys.modules)\nassert not loaded, loaded"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_public_names_are_what_they_are():
    assert sorted(spatial_ssrl.__all__) == [
        "Environment", "Intrinsics", "Recipe", "Row", "SOURCES", "Scene", "Score", "Source", "SpatialSSRLError", "Stream",
        "TASKS", "Task", "make_task", "open_source", "read_rows", "score", "stream",
    ]  # fmt: skip
    for name in spatial_ssrl.__all__:
        assert getattr(spatial_ssrl, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = spatial_ssrl.nothing
