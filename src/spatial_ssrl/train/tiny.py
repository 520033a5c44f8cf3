"""Tiny Qwen-VL models with random weights: they learn the easy puzzles on one CPU core in minutes.

Their tokenizers are fitted to their texts, and a visual token is 28 px wide.
Saved as ordinary Hugging Face folders, so nothing downstream knows that they are tiny.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from spatial_ssrl import vlm
from spatial_ssrl.errors import TrainingError


@dataclass(frozen=True)
class Size:
    """How large a model is, its heads being of 16 or more; its pictures have up to side x side pixels."""

    hidden: int
    heads: int
    text_layers: int
    vision_layers: int
    side: int


SIZES = {"cpu": Size(64, 4, 2, 4, 112), "gpu": Size(384, 6, 8, 8, 336)}
"""About 0.5 and 27 million parameters; the larger one is for a GPU."""
SHARD = "15MB"
"""Weights are saved in files of at most this size."""
VOCABULARY = 1024
MIN_PIXELS = 56 * 56
PATCH = {"patch_size": 14, "merge_size": 2}
MAX_TOKENS = 8192
SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
THINKING = ("<think>", "</think>")


def make_tiny(
    kind: str, texts: Iterable[str], tokenizer: str | None, seed: int, out: Path, size: Size = SIZES["cpu"]
) -> None:
    """Save a model of a kind, "qwen3_vl" or "qwen2_5_vl", with its processor in the folder `out`.

    Its tokenizer is the one named, or else fitted to the texts. Raises TrainingError when the named
    one cannot be used.
    """
    vlm.prepare_torch()
    import torch
    import transformers

    words = _fit_tokenizer(texts) if tokenizer is None else _load_tokenizer(tokenizer)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = (_qwen3 if kind == "qwen3_vl" else _qwen2_5)(words, size)
    ids = {name: words.convert_tokens_to_ids(name) for name in SPECIAL}
    model.generation_config = transformers.GenerationConfig(
        eos_token_id=[ids["<|im_end|>"], ids["<|endoftext|>"]],
        pad_token_id=ids["<|endoftext|>"],
        bos_token_id=ids["<|endoftext|>"],
        suppress_tokens=[ids["<|image_pad|>"], ids["<|video_pad|>"]],
    )
    model.save_pretrained(out, max_shard_size=SHARD)
    _processor(kind, words, size).save_pretrained(out)


def _fit_tokenizer(texts: Iterable[str]) -> Any:
    """A byte-level BPE of few tokens: it writes any text, and the given ones briefly."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    words.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=alphabet, show_progress=False)
    )
    words.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIAL])
    words.add_tokens([AddedToken(name, special=False, normalized=False) for name in THINKING])
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL),
        model_max_length=MAX_TOKENS,
    )


def _load_tokenizer(path: str) -> Any:
    from transformers import AutoTokenizer

    try:
        words = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise TrainingError(f"no tokenizer can be loaded from {path}: {error}") from None
    missing = [name for name in SPECIAL if name not in words.get_vocab()]
    if missing:
        raise TrainingError(f"the tokenizer of {path} is not one of Qwen-VL: it has no {', '.join(missing)}")
    return words


def _text_config(words: Any, size: Size) -> dict[str, Any]:
    """The sections of the rotary embedding, of time, height and width, sum to half a head."""
    half = size.hidden // size.heads // 2
    sections = [half // 3, (half - half // 3) // 2, (half - half // 3 + 1) // 2]
    return {
        "vocab_size": -(-len(words) // 64) * 64,
        "hidden_size": size.hidden,
        "intermediate_size": 2 * size.hidden,
        "num_hidden_layers": size.text_layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.heads,
        "max_position_embeddings": MAX_TOKENS,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": sections},
        "initializer_range": _deviation(size),
        "tie_word_embeddings": True,
        **{f"{name}_token_id": words.convert_tokens_to_ids("<|endoftext|>") for name in ("bos", "pad")},
        "eos_token_id": words.convert_tokens_to_ids("<|im_end|>"),
    }


def _media_ids(words: Any) -> dict[str, Any]:
    names = {f"{n}_token_id": f"<|{n.removesuffix('_token')}|>" for n in ("vision_start", "vision_end")}
    names |= {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    return {"tie_word_embeddings": True, **{key: words.convert_tokens_to_ids(name) for key, name in names.items()}}


def _deviation(size: Size) -> float:
    """Of random weights: 0.04 at a width of 64, less in wider layers."""
    return 0.32 / float(size.hidden**0.5)


def _vision_config(size: Size) -> dict[str, Any]:
    return {
        "depth": size.vision_layers,
        "hidden_size": size.hidden,
        "intermediate_size": 2 * size.hidden,
        "num_heads": size.heads,
        "out_hidden_size": size.hidden,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "initializer_range": _deviation(size),
    }


def _qwen3(words: Any, size: Size) -> Any:
    """Positions of the vision tower start at N(0, 1): with the usual 0.02 it learned half as much."""
    import torch
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    text = _text_config(words, size) | {"head_dim": size.hidden // size.heads}
    text["rope_parameters"] |= {"mrope_interleaved": True}
    places = (size.side // PATCH["patch_size"]) ** 2
    vision = _vision_config(size) | {"num_position_embeddings": places, "deepstack_visual_indexes": [0]}
    model = Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=text, vision_config=vision, **_media_ids(words)))
    torch.nn.init.normal_(model.model.visual.pos_embed.weight)
    return model


def _qwen2_5(words: Any, size: Size) -> Any:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    whole = list(range(1, size.vision_layers, 2))
    vision = _vision_config(size) | {"window_size": 112, "fullatt_block_indexes": whole}
    return Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(text_config=_text_config(words, size), vision_config=vision, **_media_ids(words))
    )


def _processor(kind: str, words: Any, size: Size) -> Any:
    """The family's processor; TRL ships the chat templates."""
    import transformers

    template = (files("trl") / "chat_templates" / f"{kind}.jinja").read_text(encoding="utf-8")
    images = transformers.Qwen2VLImageProcessor(min_pixels=MIN_PIXELS, max_pixels=size.side**2, **PATCH)
    if kind == "qwen3_vl":
        videos = transformers.Qwen3VLVideoProcessor(**PATCH)
        return transformers.Qwen3VLProcessor(images, words, videos, chat_template=template)
    videos = transformers.Qwen2VLVideoProcessor(**PATCH)
    return transformers.Qwen2_5_VLProcessor(images, words, videos, chat_template=template)
