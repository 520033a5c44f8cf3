"""From sources to a dataset folder: plan, make shards, write manifest and card."""

import platform
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any, Literal

from spatial_ssrl.build.card import write_card
from spatial_ssrl.build.engine import Pool, run_shards
from spatial_ssrl.build.estimate import Cost, Estimate, estimate
from spatial_ssrl.build.local import local_pool
from spatial_ssrl.build.place import Place, open_place
from spatial_ssrl.build.plan import Plan
from spatial_ssrl.build.ray import LOCAL, ray_pool
from spatial_ssrl.build.recipe import Recipe
from spatial_ssrl.build.store import claim, close_store, forget_state, is_finished, merge_accounts, read_manifest, unfinished
from spatial_ssrl.errors import DatasetError

__all__ = ["Cost", "Estimate", "Plan", "Recipe", "Report", "build", "estimate", "read_manifest"]

Engine = Literal["local", "ray"]
PoolOf = Callable[[Plan, Place, int], AbstractContextManager[Pool]]

PACKAGES = ("spatial-ssrl", "numpy", "pillow", "pyarrow", "simplejpeg", "xxhash")
"""Packages whose versions can change a row's bytes."""


@dataclass(frozen=True)
class Report:
    """What a build came to."""

    out: Place
    manifest: dict[str, Any]

    @property
    def rows(self) -> int:
        return sum(sum(counts.values()) for counts in self.manifest["counts"].values())


def build(
    recipe: Recipe,
    out: str | Place,
    workers: int,
    command: str,
    progress: Callable[[int, int], None],
    strict_inputs: bool = False,
    engine: Engine = "local",
    address: str = LOCAL,
) -> Report:
    """Build the dataset that a recipe describes in the folder `out`, a path or a URL, or finish what is there.

    `progress` gets rows made and rows planned. Rows depend on the recipe and the sources alone: the engine, the
    number of workers and interruptions change no byte of them. `address` is the cluster of engine ray, or "local" for
    one that is started here. With `strict_inputs` the first file that cannot be used ends the build; else it is skipped
    and listed in the manifest. Raises SourceError, RecipeError, DatasetError or MissingExtraError.
    """
    out = open_place(out)
    plan = Plan.create(recipe, strict_inputs)
    if is_finished(out, plan):
        forget_state(out)
    else:
        with claim(out, plan):
            pool = partial(ray_pool, address=address) if engine == "ray" else local_pool
            _make_shards(plan, out, workers, pool, progress)
            manifest = _manifest(plan, merge_accounts(out, plan.shards), command)
            if not manifest["counts"]:
                raise DatasetError(f"no row could be made; {_why(manifest)}")
            close_store(out, manifest, write_card(manifest))
    return Report(out, read_manifest(out))


def _make_shards(plan: Plan, out: Place, workers: int, pool: PoolOf, progress: Callable[[int, int], None]) -> None:
    if shards := unfinished(out, plan.shards):
        done = plan.rows - sum(sum(plan.shard_quotas(i).values()) for i in shards)
        with pool(plan, out, min(workers, len(shards))) as started:
            run_shards(plan, out, shards, started, lambda made: progress(done + made, plan.rows))


def _manifest(plan: Plan, account: dict[str, Any], command: str) -> dict[str, Any]:
    return {
        **account,
        "skipped": {copy: f"same file as {first}" for copy, first in plan.copies} | account["skipped"],
        "command": command,
        "fingerprint": plan.fingerprint,
        "recipe": plan.recipe.model_dump(mode="json"),
        "scenes": len(plan.refs),
        "unserved": [entry.name for entry in plan.unserved],
        "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
    }


def _why(manifest: dict[str, Any]) -> str:
    """The commonest reasons for which files were skipped and draws dropped, for an error message."""
    reasons = [f"{path}: {why}" for path, why in list(manifest["skipped"].items())[:3]]
    reasons += [f"{name}: {reason} ({n})" for name, inner in manifest["drops"].items() for reason, n in inner.items()][:3]
    return "; ".join(reasons) or "the sources gave no scene"
