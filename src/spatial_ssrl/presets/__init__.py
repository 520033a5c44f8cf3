"""The recipe and the presets of the demo, carried by the installed package."""

from importlib.resources import files
from pathlib import Path

from spatial_ssrl.errors import RecipeError


def shipped(name: str) -> Path:
    """The TOML file of a name, for example "tiny-sft". Raises RecipeError with the names that exist."""
    folder = Path(str(files(__name__)))
    names = sorted(path.stem for path in folder.glob("*.toml"))
    if name not in names:
        raise RecipeError(f"no preset {name!r} is shipped; there are {', '.join(names)}")
    return folder / f"{name}.toml"
