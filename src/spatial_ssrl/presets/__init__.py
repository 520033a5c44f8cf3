"""The demo's recipe and presets, as TOML files that the installed package carries."""

from importlib.resources import files
from pathlib import Path


def shipped(name: str) -> Path:
    """The TOML file of a name: "demo", "tiny-sft" or "tiny-grpo"."""
    return Path(str(files(__name__))) / f"{name}.toml"
