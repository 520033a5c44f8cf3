"""transformers in this process, in batches; bfloat16 on a GPU."""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from spatial_ssrl import vlm
from spatial_ssrl.errors import DatasetError, SpatialSSRLError
from spatial_ssrl.evaluate.backends import Decoding, Outcome, Prompt, in_halves
from spatial_ssrl.evaluate.backends.media import decoded, encoded
from spatial_ssrl.rng import digest

BATCH = 32
Row = dict[str, Any]


class Local:
    """A model folder or hub name; loaded once, when it is first asked."""

    name = "transformers"

    def __init__(self, model: str, batch_size: int = BATCH) -> None:
        self.model = model
        self.batch_size = batch_size
        self.identity: dict[str, Any] = {"model": model, "model_files": fingerprint(Path(model))}
        self.setup: dict[str, Any] = {}

    @functools.cached_property
    def _loaded(self) -> tuple[Any, Any]:
        model, processor = vlm.load(self.model)
        import torch
        import transformers

        limits = dict(processor.image_processor.size or {})  # Qwen-VL's are numbers of pixels
        versions = {"transformers": transformers.__version__, "torch": torch.__version__}
        self.setup = {**versions, "dtype": str(model.dtype), "picture_size": limits}
        return model, processor

    def ask(self, prompts: Sequence[Prompt], decoding: Decoding) -> Iterator[Outcome]:
        """Outcomes batch by batch, each drawn with a seed of its own; a resumed run batches, and so draws, otherwise.

        A batch that fails is asked in halves; one for which memory does not suffice makes the later ones smaller too.
        """
        self._loaded  # noqa: B018 - before the first picture is read
        import torch

        start = 0
        while start < len(prompts):
            first, size = prompts[start], self.batch_size
            torch.manual_seed(int(digest(decoding.seed, first.sample, first.text, start, size=7), 16))
            rows: list[tuple[int, Row]] = []
            for place, prompt in enumerate(prompts[start : start + size], start):
                try:
                    rows.append((place, _row(prompt, decoding)))
                except DatasetError as error:
                    yield Outcome(place, None, str(error))
            yield from in_halves(rows, functools.partial(self._generate, decoding), _is_ours)
            start += size

    def _generate(self, decoding: Decoding, rows: list[Row]) -> list[str]:
        import torch

        how: dict[str, Any] = {"temperature": decoding.temperature, "instruction": "", "batch_size": len(rows)}
        try:
            return list(vlm.generate(*self._loaded, rows, max_new_tokens=decoding.max_new_tokens, **how))
        except torch.OutOfMemoryError:
            self.batch_size = max(1, len(rows) // 2)
            raise


def _row(prompt: Prompt, decoding: Decoding) -> Row:
    """A prompt as vlm.generate takes it. Raises DatasetError for a damaged picture."""
    text, pictures = encoded(prompt, decoding.frames)
    for data in pictures:
        decoded(data)
    return {"problem": text, "images": [{"bytes": data} for data in pictures]}


def _is_ours(error: Exception) -> bool:
    """Whether an error would meet every row: a setting that is wrong, or a package that is not there."""
    return isinstance(error, SpatialSSRLError | ImportError)


def fingerprint(folder: Path) -> str | None:
    """Names, sizes and times of a model folder's weights: a model trained anew is another model."""
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    parts = [part for f in files for part in (f.name, f.stat().st_size, f.stat().st_mtime_ns)]
    return digest(*parts) if parts else None
