"""vLLM in this process. It wants a GPU, or the build for CPUs; `pip install 'spatial-ssrl[vllm]'` brings it."""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from spatial_ssrl import vlm
from spatial_ssrl.errors import DatasetError
from spatial_ssrl.evaluate.backends import Decoding, Outcome, Prompt, in_halves
from spatial_ssrl.evaluate.backends.local import fingerprint
from spatial_ssrl.evaluate.backends.media import encoded
from spatial_ssrl.evaluate.backends.server import message

BATCH = 256
"""Prompts handed over at a time: what a killed run loses."""
REFUSALS = ("ValueError", "VLLMClientError")
"""How versions of vLLM refuse a prompt."""


class InProcess:
    """A model folder or hub name, loaded once, when it is first asked; `settings` go to vllm.LLM."""

    name = "vllm"

    def __init__(self, model: str, **settings: Any) -> None:
        self.model, self.settings = model, settings
        self.identity: dict[str, Any] = {"model": model, "model_files": fingerprint(Path(model))}
        self.setup: dict[str, Any] = {}

    @functools.cached_property
    def _engine(self) -> Any:
        vlm.require("vllm", "vllm")
        vlm.prepare_torch()
        import transformers
        import vllm

        engine = vllm.LLM(self.model, **self.settings)
        versions = {"vllm": vllm.__version__, "transformers": transformers.__version__}
        self.setup = {**versions, "dtype": str(engine.llm_engine.model_config.dtype), **self.settings}
        return engine

    def ask(self, prompts: Sequence[Prompt], decoding: Decoding) -> Iterator[Outcome]:
        """Outcomes batch by batch. Raises MissingExtraError without vLLM."""
        engine = self._engine
        from vllm import SamplingParams

        for start in range(0, len(prompts), BATCH):
            asked: list[tuple[int, tuple[Any, Any]]] = []
            for place, prompt in enumerate(prompts[start : start + BATCH], start):
                seed = decoding.seed + prompt.sample
                how = SamplingParams(max_tokens=decoding.max_new_tokens, temperature=decoding.temperature, seed=seed)
                try:
                    asked.append((place, (message(*encoded(prompt, decoding.frames)), how)))
                except DatasetError as error:
                    yield Outcome(place, None, str(error))
            yield from in_halves(asked, functools.partial(_chat, engine), _is_no_refusal)


def _chat(engine: Any, asked: list[tuple[Any, Any]]) -> list[str]:
    messages, how = map(list, zip(*asked, strict=True))
    return [one.outputs[0].text for one in engine.chat(messages, how, use_tqdm=False)]


def _is_no_refusal(error: Exception) -> bool:
    """Whether an error is more than a prompt that vLLM refuses, such as one that is too long."""
    return not any(kind.__name__ in REFUSALS for kind in type(error).__mro__)
