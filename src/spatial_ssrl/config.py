"""Typed configuration from TOML files and flags, with errors that name the key at fault."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from spatial_ssrl.errors import RecipeError

C = TypeVar("C", bound=BaseModel)


def load_config(kind: type[C], file: Path | None, flags: Mapping[str, Any]) -> C:
    """A configuration from a TOML file, where given, with flags that are not None laid over it, table by table.

    Raises RecipeError with the key at fault.
    """
    values = _read_toml(file) if file else {}
    for key, value in flags.items():
        if value is not None:
            values[key] = {**values.get(key, {}), **value} if isinstance(value, dict) else value
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        told = [e for e in error.errors() if e["type"] != "default_factory_not_called"]  # a default of a faulty value
        lines = [f"  {'.'.join(map(str, e['loc'])) or kind.__name__}: {e['msg']}" for e in told]
        raise RecipeError(f"{file or 'the options'} cannot be used:\n" + "\n".join(lines)) from None


def parse_flags(texts: Iterable[str]) -> dict[str, Any]:
    """Flags of the form KEY=VALUE or TABLE.KEY=VALUE, values as in TOML or else texts; the last one of a key counts.

    Raises RecipeError for a text of another form.
    """
    flags: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"[a-z_]+(\.[a-z0-9_]+)?", key):
            raise RecipeError(f"--set {text}: expected KEY=VALUE or TABLE.KEY=VALUE, such as trainer.max_steps=10")
        table, _, name = key.rpartition(".")
        try:
            parsed = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            parsed = value
        if table:
            flags.setdefault(table, {})[name] = parsed
        else:
            flags[name] = parsed
    return flags


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"cannot read {path}: {error}") from None
