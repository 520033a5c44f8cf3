"""Time of the published scripts on our pictures; their checkout is read, and nothing of it is kept here.

The scripts run on fixed paths when they are imported, so that only their imports and functions are taken. They need
cv2, h5py and matplotlib. Each reads one picture and writes pictures into the current folder; what they say in words is
left out. Position is asked for two places far apart in depth.
"""

import ast
import contextlib
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spatial_ssrl.scene import read_depth

Script = dict[str, Any]
SCRIPTS: dict[str, tuple[str, Callable[[Script, str, str], object]]] = {
    "shuffle": ("Shuffle", lambda s, image, _: s["cv2"].imwrite("it.jpg", s["split_shuffle_and_renumber"](image)[0])),
    "flip": ("Flip", lambda s, image, _: s["cv2"].imwrite("it.jpg", s["split_and_flip_one_patch"](image, flip_index=1))),
    "crop": ("Crop", lambda s, image, _: s["random_crop_blacken"](image) is not None),
    "depth": (
        "Depth",
        lambda s, image, depth: s["process_sample_3"](image, f"{depth}.npy", f"{depth}-mask.npy") is not None,
    ),
    "position": ("Position", lambda s, image, depth: s["one_sample_far"](f"{depth}.h5", image)[0]),
}
UNUSED = {"IPython"}
SECONDS = 90.0
"""No further picture is begun after this time."""
MOST = 24


def measure_reference(checkout: Path, task: str, images: list[Path], depths: list[Path]) -> dict[str, object]:
    """Rows a second of a published script; where it finds no row its time counts all the same."""
    name, ask = SCRIPTS[task]
    script, rows, wall, cpu = load_script(checkout / f"data_process/{name}.py"), 0, 0.0, 0.0
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), open(os.devnull, "w") as nowhere:
        for i, image in enumerate(images[:MOST]):
            if depths:
                store_depth(depths[i], Path("depth"))
            clocks = time.perf_counter(), time.process_time()
            with contextlib.redirect_stdout(nowhere):
                rows += bool(ask(script, str(image), "depth"))
            wall, cpu = wall + time.perf_counter() - clocks[0], cpu + time.process_time() - clocks[1]
            if wall > SECONDS:
                break
    return {"rows": rows, "rows_per_s": round(rows / wall, 3), "cpu_s_per_row": round(cpu / max(1, rows), 3)}


def load_script(path: Path) -> Script:
    """Imports, constants and functions of a script, without the calls at its end."""
    os.environ["MPLBACKEND"] = "agg"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kept = [node for node in tree.body if isinstance(node, ast.FunctionDef) or _is_wanted(node)]
    script: Script = {"direction": random.randint(0, 1)}
    exec(compile(ast.Module(kept, []), str(path), "exec"), script)
    return script


def _is_wanted(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import):
        return not {alias.name for alias in node.names} & UNUSED
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").partition(".")[0] not in UNUSED
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)


def store_depth(source: Path, place: Path) -> None:
    """A depth PNG of millimetres in the forms that the scripts read: .npy with a mask, and .h5."""
    import h5py

    depth = np.nan_to_num(read_depth(source, scale=1000))
    np.save(place.with_suffix(".npy"), depth[..., None])
    np.save(place.with_name(f"{place.name}-mask.npy"), depth > 0)
    with h5py.File(place.with_suffix(".h5"), "w") as file:
        file["depth"] = depth
