"""vLLM in this process: `make test-vllm`, with its build for CPUs in an environment of its own."""

import os

import pytest

from evaluate.helpers import QUIET
from evaluate.miniatures import choice_tsv, encoded, write_all, write_video
from spatial_ssrl import vlm
from spatial_ssrl.errors import MissingExtraError
from spatial_ssrl.evaluate import BENCHMARKS, GENERAL, SPATIAL, Settings, evaluate
from spatial_ssrl.evaluate.backends import Decoding
from spatial_ssrl.evaluate.backends.local import Local
from spatial_ssrl.evaluate.backends.vllm import InProcess
from spatial_ssrl.evaluate.results import split_samples
from spatial_ssrl.evaluate.run import read_verdicts

N = 6
LONG, DAMAGED = 3, 4
CONTEXT = 1024


@pytest.fixture
def table(tmp_path):
    """One of its questions is longer than the model's context, and one of its pictures is cut short."""
    question = lambda i: f"Which? {i} " + "word " * CONTEXT * (i == LONG)  # noqa: E731
    image = lambda i: encoded(i)[:400] if i == DAMAGED else encoded(i)  # noqa: E731
    choice_tsv(tmp_path / "BLINK.tsv", N, question=question, image=image)
    return tmp_path / "BLINK.tsv"


def model_with_heads_of_32(out):
    """vLLM's attention on a CPU takes no smaller ones."""
    from transformers import AutoConfig, AutoModelForImageTextToText

    from spatial_ssrl.train.tiny import make_tiny

    make_tiny("qwen3_vl", ["Which one is left of it? Answer A, B, C or D."] * 50, None, 6, out)
    config = AutoConfig.from_pretrained(out)
    config.text_config.head_dim = 32
    config.text_config.rope_parameters |= {"mrope_section": [6, 5, 5]}
    AutoModelForImageTextToText.from_config(config).save_pretrained(out)
    return str(out)


def test_without_vllm_the_extra_is_named(table, tmp_path):
    if vlm.importlib.util.find_spec("vllm"):
        pytest.skip("vLLM is installed")
    with pytest.raises(MissingExtraError, match=r"pip install 'spatial-ssrl\[vllm\]'"):
        evaluate(BENCHMARKS["blink"](), table, InProcess("model"), tmp_path / "out", Settings(), QUIET)


@pytest.mark.timeout(900)
def test_vllm_says_what_transformers_says(table, tmp_path):
    pytest.importorskip("vllm")
    os.environ |= {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
    vlm.prepare_torch()
    model = model_with_heads_of_32(tmp_path / "model")
    served = InProcess(model, dtype="float32", enforce_eager=True, max_model_len=CONTEXT)
    settings = Settings(mode="direct", decoding=Decoding(max_new_tokens=3))
    replies = {}
    for backend in (Local(model), served):
        evaluate(BENCHMARKS["blink"](), table, backend, tmp_path / backend.name, settings, QUIET)
        replies[backend.name] = [verdict.reply for verdict in read_verdicts(tmp_path / backend.name)]
    assert [i for i, reply in enumerate(replies["vllm"]) if reply is None] == [LONG, DAMAGED]
    assert replies["transformers"][DAMAGED] is None
    said = ([(reply or "").replace("\ufffd", "") for reply in some] for some in replies.values())
    both = [pair for i, pair in enumerate(zip(*said, strict=True)) if i != LONG]
    assert all(one == other for one, other in both)  # a random model may stop inside a character, which vLLM leaves out
    sampled = Settings(samples=2, decoding=Decoding(max_new_tokens=16, temperature=1.0))
    results = evaluate(BENCHMARKS["blink"](), table, served, tmp_path / "samples", sampled, QUIET)
    first, second = split_samples(read_verdicts(tmp_path / "samples"))
    assert results.errors == 4
    assert [v.reply for v in first] != [v.reply for v in second]
    tables = write_all(tmp_path)
    for folder in (tmp_path, tmp_path / "VSI-Bench"):
        write_video(folder / "arkitscenes" / "1.mp4")
    short = Settings(limit=2, decoding=Decoding(max_new_tokens=3, frames=2))
    for k, (name, path, _) in enumerate(tables):
        assert evaluate(BENCHMARKS[name](), path, served, tmp_path / f"all-{k}", short, QUIET).errors == 0, path
    assert {name for name, _, _ in tables} >= {kind.name for kind in (*SPATIAL, *GENERAL)}
