"""Pictures and videos as models take them."""

import base64
import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from spatial_ssrl.errors import DatasetError, MissingExtraError
from spatial_ssrl.evaluate.backends import Prompt

QUALITY = 90
MICROSECONDS = 1_000_000
"""PyAV's unit of a video's duration, in a second."""
MEDIA_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif"}
"""What servers take; other formats are sent as JPEG."""


def encoded(prompt: Prompt, frames: int) -> tuple[str, list[bytes]]:
    """Text and encoded pictures of a prompt; a video is shown as at most `frames` pictures in front.

    Raises DatasetError for a picture or video that cannot be read, and where the text has places for more or fewer pictures.
    """
    if prompt.video is not None:
        shown = [jpeg(frame) for frame in read_frames(prompt.video, frames)]
        return "<image>" * len(shown) + prompt.text, shown
    if (places := prompt.text.count("<image>")) != len(prompt.images):
        raise DatasetError(f"the question has {len(prompt.images)} pictures and {places} places for them; mend its row")
    return prompt.text, [picture.data for picture in prompt.images]


def decoded(data: bytes) -> Image.Image:
    """A whole picture. Raises DatasetError for bytes that are none."""
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except Exception as error:  # decoders of damaged files raise whatever they stumble over
        raise DatasetError(f"a picture of the benchmark is damaged: {error}; fetch the data again") from None
    return image


def data_url(data: bytes) -> str:
    """An encoded picture as a URL that holds it. Raises DatasetError for bytes that are no picture."""
    image = decoded(data)
    known = image.format in MEDIA_TYPES
    sent, kind = (data, MEDIA_TYPES[str(image.format)]) if known else (jpeg(image.convert("RGB")), "image/jpeg")
    return f"data:{kind};base64,{base64.b64encode(sent).decode()}"


def jpeg(image: Image.Image) -> bytes:
    """An encoded frame."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()


def read_frames(path: Path, count: int) -> Iterator[Image.Image]:
    """At most `count` frames of a video, evenly spread from the first to the last, as VSI-Bench takes them.

    Raises MissingExtraError without PyAV, DatasetError for a video that cannot be read.
    """
    with _opened(path) as video:
        total = sum(1 for packet in video.demux(video=0) if packet.size)
        if total == 0:
            raise ValueError("no frames")
    wanted = set(np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist())
    with _opened(path) as video:
        for i, frame in enumerate(video.decode(video=0)):
            if i in wanted:
                yield frame.to_image()


def glimpses(path: Path, count: int) -> Iterator[Image.Image]:
    """Frames from the middle of `count` equal parts of a video, which is not read as a whole. Raises as read_frames does."""
    with _opened(path) as video:
        length = (video.duration or 0) / MICROSECONDS
        for k in range(count):
            middle = (k + 0.5) / count * length
            video.seek(int(middle * MICROSECONDS))
            found = next((frame for frame in video.decode(video=0) if frame.time is None or frame.time >= middle), None)
            if found is not None:
                yield found.to_image()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A video; what goes wrong while it is open is a DatasetError."""
    try:
        import av
    except ImportError:
        raise MissingExtraError("av", "eval") from None
    try:
        with av.open(str(path)) as video:
            yield video
    except (IndexError, OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read as a video: {error}; fetch it again") from None
