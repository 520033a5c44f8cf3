"""Tables, pictures and videos of benchmarks from the Hugging Face Hub.

FOLDER/<repository's name>/           the files of one revision, archives unpacked
FOLDER/<repository's name>.hub.json   {"repo", "revision"}, written last: without it the files are not whole
"""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

from spatial_ssrl.errors import DatasetError, MissingExtraError


@dataclass(frozen=True)
class Hub:
    """Where a benchmark lies on the Hub."""

    repo: str
    files: tuple[str, ...]
    """Patterns of the files that are needed; zip archives among them are unpacked where they lie."""

    def folder(self, tables: Path) -> Path:
        """Where its files go."""
        return tables / self.repo.rpartition("/")[2]

    def partial(self, tables: Path) -> bool:
        """Whether a run that fetched it was killed: huggingface_hub keeps its own notes in the folder."""
        folder = self.folder(tables)
        return (folder / ".cache" / "huggingface").is_dir() and not _record(folder).is_file()

    def fetch(self, tables: Path) -> None:
        """Fetch the newest revision; what a killed run left is used. HF_ENDPOINT and HF_TOKEN count.

        Raises DatasetError when the Hub does not give it, MissingExtraError without huggingface_hub.
        """
        try:
            from huggingface_hub import HfApi, snapshot_download
            from huggingface_hub.errors import HfHubHTTPError
        except ImportError:
            raise MissingExtraError("huggingface_hub", "eval") from None
        folder = self.folder(tables)
        try:
            revision = HfApi().dataset_info(self.repo).sha
            snapshot_download(
                self.repo, repo_type="dataset", revision=revision, allow_patterns=list(self.files), local_dir=folder
            )
        except (HfHubHTTPError, OSError) as error:
            raise DatasetError(
                f"{self.repo} cannot be fetched: {error}; the same command goes on, or put its files into {tables}"
            ) from None
        for archive in sorted(folder.rglob("*.zip")):
            _unpack(archive)
        _record(folder).write_text(json.dumps({"repo": self.repo, "revision": revision}) + "\n", encoding="utf-8")


def origin(table: Path) -> str:
    """The repository and revision that a table was fetched from, as repo@revision; empty for other tables."""
    found = next((record for folder in (table, *table.parents) if (record := _record(folder)).is_file()), None)
    return "{repo}@{revision}".format(**json.loads(found.read_text(encoding="utf-8"))) if found else ""


def _record(folder: Path) -> Path:
    return folder.parent / f"{folder.name}.hub.json"


def _unpack(archive: Path) -> None:
    """Beside itself. Raises DatasetError for a damaged archive, and takes it away, so that it is fetched again."""
    try:
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(archive.parent)
    except zipfile.BadZipFile as error:
        archive.unlink()
        raise DatasetError(f"{archive} is damaged: {error}; run the same command to fetch it again") from None
