"""Pictures and videos as models take them."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from spatial_ssrl.errors import DatasetError, MissingExtraError
from spatial_ssrl.evaluate.backends import Prompt

QUALITY = 90
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
    try:
        import av
    except ImportError:
        raise MissingExtraError("av", "eval") from None
    try:
        with av.open(str(path)) as video:
            total = sum(1 for packet in video.demux(video=0) if packet.size)
        wanted = set(np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist())
        with av.open(str(path)) as video:
            for i, frame in enumerate(video.decode(video=0)):
                if i in wanted:
                    yield frame.to_image()  # type: ignore[no-untyped-call]
        if total == 0:
            raise ValueError("no frames")
    except (IndexError, OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read as a video: {error}; fetch it again") from None
