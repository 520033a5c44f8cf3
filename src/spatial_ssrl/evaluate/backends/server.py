"""Any OpenAI-compatible server, over HTTP: vLLM, SGLang, `transformers serve`, a provider.

The openai client retries what may pass (408, 409, 429, 5xx, a lost connection, a time-out) with growing waits, and heeds
Retry-After. A server that has answered and then is not there, such as one that restarts, is waited for. What remains an
error is an outcome of its row.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from spatial_ssrl.errors import DatasetError, MissingExtraError, ServerError
from spatial_ssrl.evaluate.backends import Decoding, Outcome, Prompt
from spatial_ssrl.evaluate.backends.media import data_url, encoded

ATTEMPTS = 3
"""A reply that is no chat completion is asked for this often; the client does not retry it."""
PATIENCE = 600.0
"""Seconds that a server may be away."""
CONNECT = 5.0
"""Seconds after which nobody listens."""
AWAY = (502, 503, 504)
"""What a proxy says for a server that is not there."""
FATAL = (401, 403, 404)
"""Statuses that every other row would get too."""


class Server:
    """A model behind a base URL such as http://localhost:8000/v1; the key is taken from OPENAI_API_KEY.

    Raises ServerError for a base URL of another form.
    """

    def __init__(self, model: str, base_url: str, concurrency: int = 16, timeout: float = 600, retries: int = 6) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise ServerError(f"no base URL: {base_url!r}; expected one such as http://localhost:8000/v1")
        self.model, self.base_url, self.concurrency = model, base_url, concurrency
        self.settings: dict[str, Any] = {"timeout": timeout, "max_retries": retries}
        self.name = f"server {base_url}"
        self.answered = False
        self.setup: dict[str, Any] = {}  # the server's, which it does not tell
        self.identity: dict[str, Any] = {"model": model}  # a server that comes back at another port is the same

    def ask(self, prompts: Sequence[Prompt], decoding: Decoding) -> Iterator[Outcome]:
        """Outcomes as they come; an interrupt drops what is under way.

        Raises ServerError where no row can be answered (a wrong key, model or address), MissingExtraError without openai.
        """
        outcomes = self._stream(prompts, decoding)
        with asyncio.Runner() as runner:
            try:
                for _ in prompts:
                    yield runner.run(anext(outcomes))
            finally:
                runner.run(outcomes.aclose())

    async def _stream(self, prompts: Sequence[Prompt], decoding: Decoding) -> AsyncGenerator[Outcome, None]:
        try:
            from openai import AsyncOpenAI
        except ImportError:
            raise MissingExtraError("openai", "eval") from None
        todo, done = enumerate(prompts), asyncio.Queue[Outcome | Exception]()
        key = os.environ.get("OPENAI_API_KEY", "none")
        async with AsyncOpenAI(base_url=self.base_url, api_key=key, **self.settings) as client:

            async def work() -> None:
                for place, prompt in todo:
                    try:
                        done.put_nowait(await self._one(client, place, prompt, decoding))
                    except Exception as error:  # raised where the outcomes are read
                        done.put_nowait(error)

            workers = [asyncio.create_task(work()) for _ in range(self.concurrency)]
            lost: list[Outcome] = []
            try:
                for _ in prompts:
                    outcome = await done.get()
                    if isinstance(outcome, Exception):
                        raise outcome
                    if self.answered or not (outcome.error or "").startswith("APIConnectionError"):
                        yield outcome
                        continue
                    lost.append(outcome)
                    if len(lost) >= min(self.concurrency, len(prompts)) and await self._nobody_listens():
                        raise ServerError(f"nobody answers at {self.base_url}: {outcome.error}; is the server up?")
                for outcome in lost:
                    yield outcome
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    async def _one(self, client: Any, place: int, prompt: Prompt, decoding: Decoding) -> Outcome:
        from openai import APIStatusError, OpenAIError

        try:
            messages = await asyncio.to_thread(lambda: message(*encoded(prompt, decoding.frames)))
            return Outcome(place, await self._patiently(client, messages, decoding, prompt.sample))
        except APIStatusError as error:
            if error.status_code in FATAL:
                said = f"{self.base_url} answers {error.status_code} for {self.model!r}: {error.message}"
                raise ServerError(said) from None
            return Outcome(place, None, f"{error.status_code}: {error.message}")
        except (OpenAIError, DatasetError, _NoCompletionError) as error:
            return Outcome(place, None, f"{type(error).__name__}: {error}")

    async def _patiently(self, client: Any, messages: Any, decoding: Decoding, sample: int) -> str:
        """A completion, asked for again while a server that has answered before is away."""
        from openai import APIError

        start = time.monotonic()
        while True:
            try:
                reply = await self._complete(client, messages, decoding, sample)
                self.answered = True
                return reply
            except APIError as error:
                if not self.answered or time.monotonic() > start + PATIENCE or not await self._away(error):
                    raise

    async def _away(self, error: Any) -> bool:
        """Whether nobody listens at the address, or a proxy there says so."""
        status = getattr(error, "status_code", None)
        return await self._nobody_listens() if status is None else status in AWAY

    async def _nobody_listens(self) -> bool:
        url = urlsplit(self.base_url)
        try:
            async with asyncio.timeout(CONNECT):
                _, writer = await asyncio.open_connection(url.hostname, url.port or {"https": 443}.get(url.scheme, 80))
        except (OSError, TimeoutError):
            return True
        writer.close()
        return False

    async def _complete(self, client: Any, messages: Any, decoding: Decoding, sample: int) -> str:
        for _ in range(ATTEMPTS):
            try:
                done = await client.chat.completions.create(
                    model=self.model,
                    messages=messages,
                    max_tokens=decoding.max_new_tokens,
                    temperature=decoding.temperature,
                    seed=decoding.seed + sample,
                )
                return str(done.choices[0].message.content or "")
            except (ValueError, AttributeError, IndexError, TypeError) as error:
                reason = f"{type(error).__name__}: {error}"
        raise _NoCompletionError(f"the server's reply is no chat completion ({reason})")


class _NoCompletionError(Exception):
    """A reply with status 200 that cannot be read."""


def message(text: str, pictures: Sequence[bytes]) -> list[dict[str, Any]]:
    """One user message, a picture where `<image>` stands."""
    parts: list[dict[str, Any]] = []
    for i, words in enumerate(text.split("<image>")):
        if i:
            parts.append({"type": "image_url", "image_url": {"url": data_url(pictures[i - 1])}})
        if words.strip():
            parts.append({"type": "text", "text": words})
    return [{"role": "user", "content": parts}]
