"""The reward as one file that needs Python alone, for clusters on which this package is not installed."""

import ast
from importlib import import_module
from importlib.metadata import version
from inspect import getsource

HEAD = '''"""The reward of spatial-ssrl {version}, written by `spatial-ssrl export`; needs nothing but Python.

The parts are the package's own errors.py, prose.py, grammar.py and reward/, one after the other.
"""
'''


def reward_file(adapter: str, tail: str) -> str:
    """The source of `spatial_ssrl.reward.<adapter>` after all that it imports of this package, then the tail."""
    names = ("errors", "prose", "grammar", "reward", "reward.truth", f"reward.{adapter}")
    parts = [_bare(getsource(import_module(f"spatial_ssrl.{name}"))) for name in names]
    return "\n\n".join([HEAD.format(version=version("spatial-ssrl")), *parts, *([tail + "\n"] if tail else [])])


def _bare(source: str) -> str:
    """A module's source without its docstring and its imports of this package."""
    lines = source.splitlines()
    for node in ast.parse(source).body:
        ours = isinstance(node, ast.ImportFrom) and (node.module or "").startswith("spatial_ssrl")
        if ours or (node.lineno == 1 and isinstance(node, ast.Expr)):
            lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or 0) - node.lineno + 1)
    return "\n".join(lines).strip() + "\n"
