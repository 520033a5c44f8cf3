"""Resolve every extra, and every `pip install` of this package that the docs name; print for each "ok" or the conflict.

make test-constraints

Nothing is installed, and of most packages only the metadata is read; it takes some minutes. The lines are read from
README.md, CONTRIBUTING.md, docs/ and the constraints' own heads, so that a new one is tested without being listed here. A
line that ends with `# Python 3.11 or 3.12` is for those versions alone. Resolving is not installing: a package that comes
as source may still fail to build.
"""

import re
import shlex
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
PLATFORM = "x86_64-manylinux_2_28"
OWN_CONSTRAINTS = {"vllm": "constraints-vllm.txt"}
"""Of an extra that does not go with constraints.txt."""
INSTALL = re.compile(r"pip install ([^`#\n]*)(?:# Python ([\d., or]+))?")
OURS = re.compile(r"(?:\.|spatial-ssrl)(\[.*\])?")
"""This package, by its folder or by its name."""
CONSTRAINT_OPTIONS = ("-c", "--constraint")


@dataclass(frozen=True)
class Install:
    """One `pip install` of the docs."""

    words: tuple[str, ...]
    """After `pip install`, as a shell splits them."""
    pythons: tuple[str, ...]
    where: str

    @property
    def requirements(self) -> list[str]:
        """What is installed."""
        pairs = zip(("", *self.words), self.words, strict=False)
        return [word for before, word in pairs if before not in CONSTRAINT_OPTIONS and not word.startswith("-")]

    @property
    def constraints(self) -> list[str]:
        """Files that bound it."""
        pairs = zip(("", *self.words), self.words, strict=False)
        return [word for before, word in pairs if before in CONSTRAINT_OPTIONS]

    @property
    def ours(self) -> bool:
        """Whether this package is installed, or something that goes with a constraints file of ours."""
        return bool(self.constraints) or any(OURS.fullmatch(word) for word in self.requirements)


def installs() -> list[Install]:
    """Every extra, and what the docs install of this package, each once."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    pages += sorted(ROOT.glob("constraints*.txt"))
    found: dict[tuple[object, ...], Install] = {}
    for install in [*_of_extras(), *_of_pages(pages)]:
        key = (tuple(sorted(install.requirements)), tuple(install.constraints), install.pythons)
        found.setdefault(key, install)
    return list(found.values())


def extras() -> list[str]:
    """Their names."""
    return list(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"])


def _of_extras() -> Iterator[Install]:
    for extra in extras():
        yield Install((f".[{extra}]", "-c", OWN_CONSTRAINTS.get(extra, "constraints.txt")), PYTHONS, "pyproject.toml")


def _of_pages(pages: list[Path]) -> Iterator[Install]:
    for page in pages:
        for install in read_installs(page.read_text(encoding="utf-8"), str(page.relative_to(ROOT))):
            if install.ours:
                yield install


def read_installs(text: str, where: str) -> Iterator[Install]:
    """Every `pip install` of a page: indented lines, and those between backticks in prose."""
    for match in INSTALL.finditer(text):
        pythons = tuple(re.findall(r"\d+\.\d+", match[2] or "")) or PYTHONS
        words = match[1].strip().split("  ")[0]
        yield Install(tuple(shlex.split(words)), pythons, f"{where}:{text.count(chr(10), 0, match.start()) + 1}")


def resolve(install: Install, python: str) -> str | None:
    """What is in the way of this install on this version of Python, or None."""
    lines = [_with_path(requirement) for requirement in install.requirements]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "requirements.in")
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        bounds = [word for name in install.constraints for word in ("--constraint", str(ROOT / name))]
        target = ["--python-version", python, "--python-platform", PLATFORM, "--no-progress"]
        words = [sys.executable, "-m", "uv", "pip", "compile", str(file), "--output-file", str(file) + ".out"]
        done = subprocess.run([*words, *bounds, *target, "--quiet"], capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else _too_new(install, python)


def _with_path(requirement: str) -> str:
    """This package as the one of the checkout."""
    ours = OURS.fullmatch(requirement)
    return f"spatial-ssrl{ours[1] or ''} @ {ROOT.as_uri()}" if ours else requirement


def _too_new(install: Install, python: str) -> str | None:
    """pip's word on the upper bound of Python of what is named with its version; uv heeds lower bounds alone."""
    pinned = [re.sub(r"\[.*\]", "", word) for word in install.requirements if "==" in word]
    if not pinned:
        return None
    words = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet", *pinned]
    target = ["--python-version", python, "--only-binary", ":all:", "--target", "unused"]
    done = subprocess.run([*words, *target], capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else None


def main() -> None:
    failed = False
    for install in installs():
        shown = shlex.join([*install.requirements, *(word for name in install.constraints for word in ("-c", name))])
        for python in PYTHONS:
            if python not in install.pythons:
                print(f"not for       {python}  {shown}  ({install.where})")
                continue
            conflict = resolve(install, python)
            print(f"{'CONFLICT' if conflict else 'ok':12}  {python}  {shown}  ({install.where})", flush=True)
            if conflict:
                failed = True
                print("\n".join(f"    {line}" for line in conflict.splitlines()))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
