"""Loading a vision-language model and asking it: the one file that knows how transformers is called.

Used by training and evaluation alike, so that both pose a row in the same words. Importing this
module loads neither torch nor transformers; its functions do.
"""

import functools
import importlib.util
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from spatial_ssrl.errors import MissingExtraError, TrainingError
from spatial_ssrl.grammar import FORMAT_INSTRUCTION

Conversation = list[dict[str, Any]]
BATCH = 32
"""Rows that are asked at once."""
VISION_TOKENS = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>")
"""Tokens of Qwen-VL that stand for images and videos. In a reply, they would ask the model for pixels that do not exist."""


def conversation(problem: str, instruction: str = FORMAT_INSTRUCTION) -> Conversation:
    """A row's problem as one user message, an image part for each `<image>`, the instruction, if any, at its end."""
    parts: list[dict[str, str]] = []
    for i, text in enumerate((f"{problem}\n{instruction}" if instruction else problem).split("<image>")):
        if i:
            parts.append({"type": "image"})
        if text.strip():
            parts.append({"type": "text", "text": text})
    return [{"role": "user", "content": parts}]


def pictures(row: Mapping[str, Any]) -> list[Image.Image]:
    """A row's images, decoded. They are this project's own JPEGs: whole, upright, and of any size."""
    return [Image.open(io.BytesIO(image["bytes"])).convert("RGB") for image in row["images"]]


def load(
    path: str | Path,
    dtype: str | None = None,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    device: str | None = None,
    quantize: str | None = None,
) -> tuple[Any, Any]:
    """Model and processor of a folder or hub name, padded on the left, on a GPU if there is one, or on `device`.

    Weights are bfloat16 on a GPU and float32 on a CPU, unless a dtype is named. Generation needs left
    padding: with right padding Qwen2.5-VL answers wrongly without a warning. Pictures are scaled to
    between `min_pixels` and `max_pixels`, in the processor's own limits where they are None.
    `quantize="4bit"` has bitsandbytes round the linear layers, all but the last, to 4 bits.
    Raises MissingExtraError without the train extra, or quantize where it is asked for; TrainingError where there is no
    model.
    """
    processor = load_processor(path, min_pixels, max_pixels)
    return load_model(path, dtype, quantize, device), processor


def load_model(path: str | Path, dtype: str | None = None, quantize: str | None = None, device: str | None = None) -> Any:
    """The model alone; see `load`. Without a `device` it is on the GPU where there is one."""
    prepare_torch()
    import torch
    from transformers import AutoModelForImageTextToText

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    how: dict[str, Any] = {"dtype": dtype or ("float32" if device == "cpu" else "bfloat16")}
    if quantize:
        how |= {"quantization_config": _four_bits(), "device_map": {"": _index_of(device)}}
    try:
        model = AutoModelForImageTextToText.from_pretrained(path, **how)
    except (OSError, ValueError) as error:
        raise _no_model(path, error) from None
    return (model if quantize else model.to(device)).eval()


def _four_bits() -> Any:
    """As in QLoRA (Dettmers et al. 2023): 4-bit NormalFloat, whose scales are quantized too; computed in bfloat16."""
    require("quantize", "bitsandbytes")
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def _index_of(device: str) -> str | int:
    """A device as a map of devices names it: "cuda" is the GPU of this process."""
    import torch

    return torch.cuda.current_device() if device == "cuda" else device


def load_processor(path: str | Path, min_pixels: int | None = None, max_pixels: int | None = None) -> Any:
    """The processor alone; see `load`. Raises TrainingError for limits that exclude each other."""
    prepare_torch()
    from transformers import AutoImageProcessor, AutoProcessor

    limits = {k: v for k, v in (("min_pixels", min_pixels), ("max_pixels", max_pixels)) if v is not None}
    try:
        processor = AutoProcessor.from_pretrained(path, padding_side="left")
        if limits:
            # AutoProcessor would give the limits to the video processor too, whose own are of another size
            processor.image_processor = AutoImageProcessor.from_pretrained(path, **limits)
    except (OSError, ValueError) as error:
        raise _no_model(path, error) from None
    _check_limits(pixel_limits(processor))
    return processor


def pixel_limits(processor: Any) -> dict[str, int]:
    """The limits to which a processor scales images: "min_pixels" and "max_pixels"; empty for one that scales otherwise."""
    size = dict(processor.image_processor.size or {})
    if not size.get("shortest_edge") or not size.get("longest_edge"):
        return {}
    # Qwen-VL's processors call them edges, and mean areas
    return {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"]}


def _check_limits(limits: dict[str, int]) -> None:
    if limits and limits["min_pixels"] > limits["max_pixels"]:
        raise TrainingError(
            f"images are to have at least {limits['min_pixels']} and at most {limits['max_pixels']} pixels;"
            " set min_pixels and max_pixels so that the first is the smaller one"
        )


def vision_token_ids(processor: Any) -> list[int]:
    """The ids of the vision tokens that a model must never say; see `VISION_TOKENS`."""
    vocabulary = processor.tokenizer.get_vocab()
    return [vocabulary[token] for token in VISION_TOKENS if token in vocabulary]


def _no_model(path: str | Path, error: Exception) -> TrainingError:
    return TrainingError(f"no vision-language model can be loaded from {path}: {error}")


def generate(
    model: Any,
    processor: Any,
    rows: Sequence[Mapping[str, Any]],
    *,
    max_new_tokens: int,
    batch_size: int = BATCH,
    temperature: float = 0.0,
    instruction: str = FORMAT_INSTRUCTION,
) -> Iterator[str]:
    """Replies to the rows, in order, a batch at a time: greedy at temperature 0, else sampled from torch's generator.

    A model never says a vision token: Qwen3-VL cannot go on after one. Raises TrainingError for a processor that pads
    on the right.
    """
    import torch

    if processor.tokenizer.padding_side != "left":
        raise TrainingError(
            "the processor pads on the right, with which Qwen-VL answers wrongly without a warning; load it with"
            " `spatial_ssrl.vlm.load`, or set processor.tokenizer.padding_side = 'left'"
        )

    how = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {"do_sample": False}
    silenced = vision_token_ids(processor)
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        talks = [conversation(r["problem"], instruction) for r in batch]
        prompts = [processor.apply_chat_template(talk, add_generation_prompt=True) for talk in talks]
        images: Any = [pictures(r) for r in batch]
        if not all(images):  # a processor takes rows without pictures only beside a flat list of the others'
            images = [picture for row in images for picture in row] or None
        inputs = processor(text=prompts, images=images, padding=True, return_tensors="pt")
        with torch.no_grad():  # what FSDP gathers in inference mode cannot be trained on afterwards
            tokens = model.generate(
                **inputs.to(model.device), max_new_tokens=max_new_tokens, suppress_tokens=silenced or None, **how
            )
        replies = tokens[:, inputs["input_ids"].shape[1] :]
        yield from processor.batch_decode(replies, skip_special_tokens=True)


def require(extra: str, *modules: str) -> None:
    """Raise MissingExtraError for the first module that is not installed."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(module, extra)


@functools.cache
def prepare_torch() -> None:
    """Make transformers' vision processors importable; called before anything imports torchvision.

    The registry's torchvision is built for CUDA. Beside a CPU torch its import dies with "operator
    torchvision::nms does not exist", because it registers shape functions for two operators whose
    library could not be loaded. Declaring the two is enough: what the processors use is plain torch.
    """
    require("train", "torch", "torchvision", "transformers")
    import torch

    if torch.version.cuda is None and torch.version.hip is None:
        library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT_ALIVE.append(library)


_KEPT_ALIVE: list[Any] = []
