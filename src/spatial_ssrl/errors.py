"""Every error that a user can meet.

    SpatialSSRLError
      ├─ SourceError        a SOURCE that names nothing usable: wrong path, layout or option
      ├─ SceneError         one picture or depth map that cannot be used (counted and skipped)
      ├─ RecipeError        a recipe or preset with an unknown key or an impossible value
      ├─ DatasetError       a dataset folder that is missing, unfinished or of another build
      ├─ GrammarError       an answer form or a canonical answer that does not exist
      ├─ ExportError        an export that no trainer could read, or into a folder that holds something else
      ├─ TrainingError      training that cannot start, or cannot go on
      ├─ ServerError        a model server that answers nobody: wrong address, key or model
      └─ MissingExtraError  a command whose optional packages are not installed

A message says what was got, what was expected, and the remedy. The command line
prints it without a traceback and exits with status 2.
"""


class SpatialSSRLError(Exception):
    """Root of all errors that this package raises on purpose."""


class SourceError(SpatialSSRLError):
    """A SOURCE names nothing usable."""


class SceneError(SpatialSSRLError):
    """One input file cannot be used.

    `reason` is a short fixed phrase by which skipped files are counted; `detail` is for the person
    who looks at one file. Both are arguments, so that the error survives a process boundary.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


class RecipeError(SpatialSSRLError):
    """A recipe or a preset has an unknown key or an impossible value."""


class DatasetError(SpatialSSRLError):
    """A dataset folder is missing, unfinished, or belongs to another build."""


class GrammarError(SpatialSSRLError):
    """An answer form or a canonical answer does not exist."""


class ExportError(SpatialSSRLError):
    """An export that no trainer could read, or into a folder that holds something else."""


class TrainingError(SpatialSSRLError):
    """Training cannot start or cannot go on."""


class ServerError(SpatialSSRLError):
    """A model server answers nobody."""


class MissingExtraError(SpatialSSRLError):
    """A command needs optional packages that are not installed."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(module, extra)
        self.module = module
        self.extra = extra

    def __str__(self) -> str:
        return f"{self.module} is not installed; run: pip install 'spatial-ssrl[{self.extra}]'"
