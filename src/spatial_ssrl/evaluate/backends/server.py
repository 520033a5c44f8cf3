"""Any OpenAI-compatible server, over HTTP: vLLM, SGLang, `transformers serve`, a provider.

The openai client retries what may pass (408, 409, 429, 5xx, a lost connection, a time-out) with growing waits, and heeds
Retry-After. What remains an error is an outcome of its row.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from spatial_ssrl.errors import MissingExtraError, ServerError, SpatialSSRLError
from spatial_ssrl.evaluate.backends import Decoding, Outcome, Prompt
from spatial_ssrl.evaluate.backends.media import data_url, encoded

UNPARSABLE_ATTEMPTS = 3
"""A reply that is no JSON is asked for this often; the client does not retry it."""
FATAL = (401, 403, 404)
"""Answers that all other rows would get too."""


class Server:
    """A model behind a base URL such as http://localhost:8000/v1; the key is taken from OPENAI_API_KEY."""

    name = "server"

    def __init__(self, model: str, base_url: str, concurrency: int = 16, timeout: float = 600, retries: int = 6) -> None:
        try:
            from openai import OpenAI
        except ImportError:
            raise MissingExtraError("openai", "eval") from None
        key = os.environ.get("OPENAI_API_KEY", "none")
        self.client = OpenAI(base_url=base_url, api_key=key, timeout=timeout, max_retries=retries)
        self.model = model
        self.concurrency = concurrency
        self.identity: dict[str, Any] = {"model": model, "base_url": base_url}

    def ask(self, prompts: Sequence[Prompt], decoding: Decoding) -> Iterator[Outcome]:
        """Outcomes as they come. Raises ServerError where no row can be answered: a wrong key, model or address."""
        pool = ThreadPoolExecutor(self.concurrency)
        try:
            pending = [pool.submit(self._one, place, prompt, decoding) for place, prompt in enumerate(prompts)]
            for future in as_completed(pending):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _one(self, place: int, prompt: Prompt, decoding: Decoding) -> Outcome:
        from openai import APIStatusError, OpenAIError

        try:
            text, pictures = encoded(prompt, decoding.frames)
            return Outcome(place, self._complete(message(text, pictures), decoding, prompt.sample))
        except APIStatusError as error:
            if error.status_code in FATAL:
                raise ServerError(f"{self.client.base_url} answers {error.status_code} for {self.model}: {error}") from None
            return Outcome(place, None, f"{error.status_code}: {error}")
        except (OpenAIError, SpatialSSRLError, ValueError) as error:
            return Outcome(place, None, f"{type(error).__name__}: {error}")

    def _complete(self, messages: Any, decoding: Decoding, sample: int) -> str:
        for attempt in range(UNPARSABLE_ATTEMPTS):
            try:
                done = self.client.chat.completions.create(
                    model=self.model,
                    messages=messages,
                    max_tokens=decoding.max_new_tokens,
                    temperature=decoding.temperature,
                    seed=decoding.seed + sample,
                )
                return done.choices[0].message.content or ""
            except (ValueError, AttributeError, IndexError, TypeError):
                if attempt + 1 == UNPARSABLE_ATTEMPTS:
                    raise ValueError("the server's replies are no JSON of a chat completion") from None
        raise AssertionError("unreachable")


def message(text: str, pictures: Sequence[bytes]) -> list[dict[str, Any]]:
    """One user message, a picture where `<image>` stands."""
    parts: list[dict[str, Any]] = []
    for i, words in enumerate(text.split("<image>")):
        if i:
            parts.append({"type": "image_url", "image_url": {"url": data_url(pictures[i - 1])}})
        if words.strip():
            parts.append({"type": "text", "text": words})
    return [{"role": "user", "content": parts}]
