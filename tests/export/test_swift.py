"""ms-swift's own loader, template, plugin registry and GRPO trainer on an export; run by `make test-swift`."""

import json
import os
import shlex

import pytest

from export.helpers import assert_same_pictures, originals, replies, run_export
from spatial_ssrl import vlm
from spatial_ssrl.grammar import FORMAT_INSTRUCTION
from spatial_ssrl.reward import score

os.environ["MODELSCOPE_OFFLINE"] = "1"
pytest.importorskip("swift", reason="ms-swift has an environment of its own: make test-swift")
vlm.prepare_torch()

SHORT = (
    "--model_type qwen2_5_vl --template qwen2_5_vl --attn_impl eager --torch_dtype float32 --use_vllm false --max_steps 1"
    " --eval_strategy no --save_steps 1 --max_completion_length 4 --dataloader_num_workers 0 --report_to none"
    " --num_generations 2 --per_device_train_batch_size 4 --per_device_eval_batch_size 4 --gradient_accumulation_steps 1"
    " --steps_per_generation 1"
)
"""What a CPU cannot do, or not soon."""


@pytest.fixture(scope="module")
def exported(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("swift") / "out"
    return out, run_export(dataset, "swift", out)


@pytest.fixture
def template(tiny_model, monkeypatch):
    from swift.model import get_processor
    from swift.template import get_template
    from swift.template.templates.qwen import Qwen2VLTemplate

    processor = get_processor(str(tiny_model), model_type="qwen2_5_vl")
    image = processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    monkeypatch.setattr(Qwen2VLTemplate, "image_token_id", image)  # it holds the number of Qwen's own vocabulary
    return get_template(processor, template_type="qwen2_5_vl")


@pytest.mark.parametrize("split", ["train", "validation"])
def test_the_loader_and_the_template_pose_the_rows(exported, dataset, template, split):
    from swift.dataset import load_dataset

    read, _ = load_dataset(str(exported[0] / f"{split}.jsonl"), remove_unused_columns=False)
    rows = list(originals(dataset)[split].values())
    template.set_mode("train")
    for item, row in zip(read, rows, strict=True):
        assert_same_pictures([image["path"] for image in item["images"]], row)
        encoded = template.encode(item)
        grids = encoded["image_grid_thw"]
        assert len(grids) == len(row["images"])
        assert encoded["input_ids"].count(template.image_token_id) == int(grids.prod(1).sum()) // 4
        text = template.processor.tokenizer.decode([i for i in encoded["input_ids"] if i != template.image_token_id])
        asked = f"{row['problem']}\n{FORMAT_INSTRUCTION}".replace("<image>", "<|vision_start|><|vision_end|>")
        assert f"<|im_start|>user\n{asked}<|im_end|>" in text


def test_the_plugin_registers_the_reward(exported, dataset):
    from swift.rewards import orms
    from swift.utils import import_external_file

    import_external_file(str(exported[0] / "spatial_reward.py"))
    reward = orms["spatial_ssrl"](args=None)
    lines = map(json.loads, (exported[0] / "train.jsonl").read_text().splitlines())
    for line, row in zip(lines, originals(dataset)["train"].values(), strict=True):
        texts = replies(row)
        earned = reward(texts, solution=[line["solution"]] * len(texts), task=[line["task"]] * len(texts))
        assert earned == pytest.approx([score(text, row).total for text in texts])


def test_the_script_trains(exported, template, tiny_model, tmp_path, monkeypatch):
    from swift.cli.main import parse_yaml_args
    from swift.pipelines import rlhf_main

    out, done = exported
    assert done.command == f"sh {out / 'run.sh'} --model MODEL"
    run, swift, rlhf, config, handed_on = shlex.split((out / "run.sh").read_text().splitlines()[-1])
    assert (run, swift, rlhf, handed_on) == ("exec", "swift", "rlhf", "$@")
    monkeypatch.setenv("NPROC_PER_NODE", "8")  # which the file would set for good
    arguments = [config]
    parse_yaml_args(arguments)
    for key in ("--deepspeed", "--vllm_mode"):
        at = arguments.index(key)
        del arguments[at : at + 2]
    places = ["--model", str(tiny_model), "--output_dir", str(tmp_path), "--add_version", "false"]
    rlhf_main([*arguments, *SHORT.split(), *places])
    history = json.loads((tmp_path / "checkpoint-1/trainer_state.json").read_text())["log_history"]
    assert 0 <= history[0]["rewards/SpatialReward/mean"] <= 1
