"""vLLM in this process; a GPU is needed, and the package is not among the extras."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from spatial_ssrl import vlm
from spatial_ssrl.errors import DatasetError
from spatial_ssrl.evaluate.backends import Decoding, Outcome, Prompt
from spatial_ssrl.evaluate.backends.local import fingerprint
from spatial_ssrl.evaluate.backends.media import encoded
from spatial_ssrl.evaluate.backends.server import message

BATCH = 256
"""Prompts handed over at a time: what a killed run loses."""


class InProcess:
    """A model folder or hub name; `settings` go to vllm.LLM."""

    name = "vllm"

    def __init__(self, model: str, **settings: Any) -> None:
        self.model, self.settings = model, settings
        self.identity: dict[str, Any] = {"model": model, "model_files": fingerprint(Path(model))}

    def ask(self, prompts: Sequence[Prompt], decoding: Decoding) -> Iterator[Outcome]:
        """Outcomes batch by batch. Raises MissingExtraError without vLLM."""
        vlm.require("vllm", "vllm")
        from vllm import LLM, SamplingParams

        engine = LLM(self.model, limit_mm_per_prompt={"image": decoding.frames}, **self.settings)
        for start in range(0, len(prompts), BATCH):
            messages: dict[int, Any] = {}
            for place, prompt in enumerate(prompts[start : start + BATCH], start):
                try:
                    messages[place] = message(*encoded(prompt, decoding.frames))
                except DatasetError as error:
                    yield Outcome(place, None, str(error))
            how = [
                SamplingParams(
                    max_tokens=decoding.max_new_tokens,
                    temperature=decoding.temperature,
                    seed=decoding.seed + prompts[place].sample,
                )
                for place in messages
            ]
            done = engine.chat(list(messages.values()), how, use_tqdm=False)
            yield from (Outcome(place, one.outputs[0].text) for place, one in zip(messages, done, strict=True))
