"""The commands about rows: build, sources, audit, export."""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spatial_ssrl.cli.console import folder_here, print_table, progress_bar

if TYPE_CHECKING:
    from spatial_ssrl.audit import Audit
    from spatial_ssrl.build import Cost, Report

app = typer.Typer()
GATE_FAILED = 1
Engine = Literal["local", "ray"]


@app.command()
def build(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="SOURCE...", help="A folder of images, or layout:path; see `spatial-ssrl sources`."),
    ] = None,
    out: Annotated[str, typer.Option(help="Folder or URL for the dataset.")] = "puzzles",
    recipe: Annotated[Path | None, typer.Option(help="TOML recipe; the options below override it.")] = None,
    n: Annotated[int | None, typer.Option(help="Rows in all splits together.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all draws.")] = None,
    profile: Annotated[str | None, typer.Option(help="How puzzles are made.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = os.cpu_count() or 1,
    strict_inputs: Annotated[
        bool, typer.Option("--strict-inputs", help="Stop at the first file that cannot be used.")
    ] = False,
    engine: Annotated[
        Engine, typer.Option(help="Where shards are made: processes here, or tasks of a Ray cluster.")
    ] = "local",
    address: Annotated[str, typer.Option(help="Ray cluster: HOST:PORT, auto, or local to start one here.")] = "local",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan, and what it would take by a few rows drawn; write nothing.")
    ] = False,
) -> None:
    """Make puzzles from images: parquet rows with answers that can be verified."""
    flags = {"sources": tuple(sources) if sources else None, "n": n, "seed": seed, "profile": profile}
    if dry_run:
        return _print_plan(recipe, flags, workers)
    build_rows(recipe, flags, out, workers, strict_inputs=strict_inputs, engine=engine, address=address)
    remote = f'datasets.load_dataset("parquet", data_files="{out}/data/train-*.parquet")'
    print(f"next: {remote if '://' in out else f'spatial-ssrl report {out} --out {out}/report.html'}")


@app.command("sources")
def list_sources() -> None:
    """The layouts that build reads: what they hold, the files they need, their options."""
    from spatial_ssrl.sources import SOURCES

    rows = [
        [
            f"{name}:NUMBER" if name == "synthetic" else f"{name}:PATH",
            f"pictures, depth ({kind.unit})" if kind.unit else "pictures",
            kind.looked_for + (f"; extra {kind.extra}" if kind.extra else ""),
            "\n".join(f"{option}={default}" for option, default in kind.options().items()),
        ]
        for name, kind in SOURCES.items()
    ]
    print_table(["source", "holds", "files", "options (defaults)"], rows, align="left")
    print("SOURCE: PATH, URL, or layout:PATH?option=value&option=value; see docs/sources.md")


@app.command()
def audit(
    data: Annotated[Path, typer.Argument(metavar="DIR", parser=folder_here, help="Dataset folder of `spatial-ssrl build`.")],
    against: Annotated[
        Path | None, typer.Option(help="Images that must not occur: a folder, or parquet files with an image column.")
    ] = None,
    gate: Annotated[
        bool, typer.Option("--gate", help="End with status 1, and name why, when the rows do not hold.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="JSON file to write; DIR/audit.json if not given.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows of each variant that the solvers are asked.")] = 1000,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = os.cpu_count() or 1,
) -> None:
    """Can a trivial solver pass the puzzles? Are answers decided, balanced and clean?"""
    from spatial_ssrl import audit as room

    command = shlex.join(["spatial-ssrl", *sys.argv[1:]])
    settings: dict[str, Any] = {"against": against, "limit": limit, "workers": workers, "command": command}
    with progress_bar("examining rows", "start again with a smaller --limit to be done sooner") as progress:
        found = room.audit(data, **settings, progress=progress)
    found.write(out or data / "audit.json")
    _print_audit(found)
    print(f"audit in {out or data / 'audit.json'}")
    if gate and found.failures:
        raise SystemExit(GATE_FAILED)


@app.command()
def export(
    data: Annotated[Path, typer.Argument(metavar="DIR", parser=folder_here, help="Dataset folder of `spatial-ssrl build`.")],
    to: Annotated[str, typer.Option(help="Trainer: trl, verl, easyr1, swift, llamafactory; or webdataset.")],
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    images: Annotated[
        str | None, typer.Option(help="embedded in the rows, or paths of files; what suits the trainer if not given.")
    ] = None,
    instruction: Annotated[
        str, typer.Option(help="How prompts end: think (reason, then box), boxed (box alone), or none.")
    ] = "think",
    preset: Annotated[
        Path | None, typer.Option(help="TOML preset whose settings the trainer is given; the paper's if not given.")
    ] = None,
) -> None:
    """Write rows in the form that another trainer reads, with the reward in its form, and what starts it."""
    from spatial_ssrl import export as room
    from spatial_ssrl.train import Preset

    settings = Preset.create(preset, {}).settings if preset else None
    with progress_bar("exporting rows", "give the same command again; nothing half-written was left") as progress:
        done = room.export(data, to, out, images=images, instruction=instruction, settings=settings, progress=progress)
    print(f"{sum(done.rows.values())} rows ({', '.join(done.rows)}) in {out}\nnext: {done.command}")


def build_rows(recipe: Path | None, flags: dict[str, Any], out: str | Path, workers: int, **settings: Any) -> None:
    """Build a dataset with a progress bar, and print what it holds."""
    from spatial_ssrl import build as room

    wanted, command = room.Recipe.create(recipe, flags), shlex.join(["spatial-ssrl", *sys.argv[1:]])
    with progress_bar("building rows", "the same command goes on where it stopped") as progress:
        report = room.build(wanted, out, workers, command, progress, **settings)
    _print_build(report)
    print(f"{report.rows} rows in {out}")


def _print_plan(recipe: Path | None, flags: dict[str, Any], workers: int) -> None:
    """The rows of a build by variant and split, and its time and size as far as a few rows tell."""
    from spatial_ssrl import build as room

    plan = room.Plan.create(room.Recipe.create(recipe, flags))
    found, splits = room.estimate(plan), list(plan.recipe.splits)
    rows = [
        [entry.name, *(f"{plan.quotas.get((split, entry), 0):,}" for split in splits), *_cost_cells(found.costs[entry])]
        for entry in plan.entries
    ]
    print_table(["task", *splits, "drawn", "CPU ms a row", "kB a row"], rows)
    if plan.unserved:
        print(f"left out, since no source has depth: {', '.join(entry.name for entry in plan.unserved)}")
    copies = f" ({len(plan.copies)} copies left out)" if plan.copies else ""
    print(f"{plan.rows:,} rows in {plan.shards:,} shards from {len(plan.refs):,} scenes{copies}")
    minutes = found.seconds / 60
    print(
        f"about {found.bytes / 1e6:,.0f} MB, {minutes:,.1f} minutes of CPU: {minutes / workers:,.1f} with {workers} workers"
    )


def _cost_cells(cost: "Cost") -> list[str]:
    drawn = f"{cost.rows} of {cost.draws}"
    return (
        [drawn, f"{1000 * cost.seconds / cost.rows:.1f}", f"{cost.bytes / cost.rows / 1000:.0f}"]
        if cost.rows
        else [drawn, "", ""]
    )


def _print_build(report: "Report") -> None:
    manifest = report.manifest
    splits = [split for split in manifest["recipe"]["splits"] if split in manifest["counts"]]
    names = sorted({name for counts in manifest["counts"].values() for name in counts})
    rows = [[name, *(str(manifest["counts"][s].get(name, 0)) for s in splits)] for name in names]
    print_table(["task", *splits], rows)
    for name, reasons in manifest["drops"].items():
        print(f"dropped draws of {name}: " + ", ".join(f"{reason} ({n})" for reason, n in reasons.items()))
    if manifest["skipped"]:
        first = next(iter(manifest["skipped"].items()))
        print(
            f"skipped files: {len(manifest['skipped'])}, such as {first[0]} ({first[1]}); all in {report.out}/manifest.json"
        )
    for split, short in manifest["short"].items():
        lacking = ", ".join(f"{name} {n}{_commonest(manifest['drops'].get(name, {}))}" for name, n in short.items())
        print(f"rows that the scenes of {split} could not give: {lacking} (more images, or another rows_per_scene, would)")
    if manifest["unserved"]:
        print(f"left out, since no source has depth: {', '.join(manifest['unserved'])}")


def _commonest(drops: dict[str, int]) -> str:
    return f", mostly {max(drops, key=drops.__getitem__)}" if drops else ""


def _print_audit(found: "Audit") -> None:
    """Every solver by variant, the strongest first, then duplicates, balance, margins and what fails the gate."""
    rows = [
        [
            f"{line.task}/{line.variant}",
            f"{line.solver} ({line.head})",
            str(line.n),
            f"{100 * line.accuracy:.1f} ({100 * line.low:.1f} to {100 * line.high:.1f})",
            *(f"{100 * share:.1f}" for share in (line.chance, line.floor, line.gap, line.limit)),
        ]
        for line in found.lines
    ]
    print_table(["task", "solver", "rows", "% right (95%)", "chance", "floor", "gap", "at most"], rows)
    margins = [(f"{m.task}/{m.variant}", m.threshold, m.smallest, m.percentile_5, m.median) for m in found.margins]
    print_table(
        ["margins", "threshold", "smallest", "5%", "median"],
        [[name, *(f"{v:.3g}" for v in values)] for name, *values in margins],
    )
    same = found.duplicates
    print(f"near-duplicates among {same.compared} pictures: {same.within_splits} within splits, {same.across_splits} across")
    if found.contamination:
        print(f"pictures that also occur in the other collection: {found.contamination.across_splits}")
    for failure in found.failures:
        print(f"fails: {failure}")
