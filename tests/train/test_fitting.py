"""Does a run fit, and if not, what does: the shipped presets, and the search that `--dry-run` makes."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spatial_ssrl.cli import app
from spatial_ssrl.config import parse_flags
from spatial_ssrl.errors import RecipeError
from spatial_ssrl.train import Preset
from spatial_ssrl.train.fitting import find_way, judge
from spatial_ssrl.train.plan import TYPICAL

RECIPES = Path(__file__).parents[2] / "recipes" / "train"
PRESETS = sorted(RECIPES.glob("*/*.toml"))
NAMES = [f"{path.parent.name}/{path.stem}" for path in PRESETS]
MODELS = ("qwen2.5-vl-3b", "qwen3-vl-4b", "qwen2.5-vl-7b")
each_preset = pytest.mark.parametrize("path", PRESETS, ids=NAMES)


def dry_run(path, *options):
    stage = path.stem.rpartition("-")[2]
    words = ["train", stage, str(path), *options, "--dry-run"]
    return CliRunner().invoke(app, words, env={"COLUMNS": "200"}, catch_exceptions=False)


def words_of_command(shown):
    return shlex.split(next(line for line in shown.output.splitlines() if line.startswith("run: ")).removeprefix("run: "))


def maker(path):
    return lambda settings: Preset.create(path, parse_flags(settings))


def test_there_is_a_preset_for_each_gpu_model_and_stage():
    one = {f"1x{gb}gb/{name}-{stage}" for gb in (24, 48, 80) for name in MODELS for stage in ("sft", "grpo")}
    paper = {f"paper/{name}-{stage}" for name in MODELS for stage in ("sft", "grpo")}
    assert set(NAMES) == one | paper | {f"8x80gb/{name}-grpo" for name in MODELS}


@each_preset
def test_every_preset_fits_the_gpus_that_it_is_for(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown, preset = dry_run(path), Preset.create(path, {})
    gpus = "1 GPU" if preset.gpus == 1 else f"{preset.gpus} GPUs"
    assert re.search(
        rf"^{gpus} of {preset.gpu_memory:g} GB: fits: \d+ of {preset.gpu_memory:g} GB$", shown.output, re.MULTILINE
    )
    assert shown.exit_code == 0
    assert not list(tmp_path.iterdir()), "nothing is run"
    number, memory = re.match(r"(\d)x(\d+)gb|", path.parent.name).groups()
    if number:
        assert (preset.gpus, preset.gpu_memory) == (int(number), int(memory))


@each_preset
def test_the_commands_in_the_heads_of_presets_are_those_that_a_dry_run_prints(path):
    if path.parent.name == "paper":
        return
    head = re.sub(r"^# *|\\$", "", path.read_text().split("\nstage")[0], flags=re.MULTILINE).replace("\n", " ")
    words = words_of_command(dry_run(path))
    given = [w for w in words if not w.startswith("--") and w not in ("DIR", "RUN", "COLD_START")]
    shown = [str(Path(w).relative_to(RECIPES.parents[1])) if Path(w).is_absolute() else w for w in given]
    assert re.search(" .*?".join(map(re.escape, shown)), head)


@each_preset
def test_what_does_not_fit_is_given_settings_that_do(path):
    make = maker(path)
    for gpus in (1, 2, 4, 8):
        for memory in (16, 24, 40, 48, 80, 141):
            preset = make(())
            if judge(preset, TYPICAL, gpus, memory).fits:
                continue
            way = find_way(make, TYPICAL, gpus, memory)
            if way is None:
                assert memory == 16, "all of these models can be trained with 24 GB"
                continue
            assert way.gpus == gpus or way.gpus in (2, 4, 8)
            found = make(way.settings)
            assert judge(found, TYPICAL, way.gpus, memory).fits
            check_same_updates(preset, found, way.gpus)


def check_same_updates(preset, found, gpus):
    """An update has as many sequences as before, in whole groups, and is spread over these GPUs."""
    before, after = preset.spread(preset.gpus), found.spread(gpus)
    size = after["per_device_train_batch_size"] * gpus
    batch = before["per_device_train_batch_size"] * before["gradient_accumulation_steps"] * preset.gpus
    assert size * after["gradient_accumulation_steps"] == batch
    if preset.stage == "grpo":
        replies = size * after.get("steps_per_generation", after["gradient_accumulation_steps"])
        assert replies % after["num_generations"] == 0


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("paper/qwen2.5-vl-7b-grpo", ["--gpus", "1"]),
        ("paper/qwen3-vl-4b-grpo", ["--gpus", "4", "--gpu-memory", "24"]),
        ("1x80gb/qwen2.5-vl-7b-grpo", ["--gpu-memory", "24", "--set", "trainer.seed=7"]),
        ("1x48gb/qwen2.5-vl-7b-sft", ["--gpu-memory", "24"]),
    ],
)
def test_the_command_that_is_printed_instead_fits(name, options):
    path = RECIPES / f"{name}.toml"
    shown = dry_run(path, *options)
    assert shown.exit_code == 1
    assert "does not fit: " in shown.output
    words = words_of_command(shown)
    assert ("--set" in options) == ("trainer.seed=7" in words)
    again = words[words.index("train") + 3 :]
    gpus = words[words.index("--num_processes") + 1] if "--num_processes" in words else "8" if "accelerate" in words else "1"
    memory = options[options.index("--gpu-memory") + 1] if "--gpu-memory" in options else "80"
    again = [word for word in again if word not in ("--data", "DIR")]
    rerun = dry_run(path, *again, "--gpus", gpus, "--gpu-memory", memory)
    assert rerun.exit_code == 0
    assert ": fits: " in rerun.output


def test_gpus_that_fill_no_machines_are_refused():
    shown = dry_run(RECIPES / "8x80gb" / "qwen2.5-vl-7b-grpo.toml", "--gpus", "12")
    assert shown.exit_code == 2
    assert "give up to 8, or a multiple of them" in shown.stderr


def test_an_update_that_is_no_multiple_of_the_gpus_is_said():
    shown = dry_run(RECIPES / "1x24gb" / "qwen2.5-vl-7b-grpo.toml", "--gpus", "3")
    assert "3 GPUs of 24 GB: cannot be run: trainer.gradient_accumulation_steps x gpus is 64" in shown.output
    assert re.search(r"^what fits: 4 GPUs of 24 GB: \d+ of 24 GB, the preset as it is$", shown.output, re.MULTILINE)
    assert "--num_processes" in words_of_command(shown)
    assert shown.exit_code == 1


def test_each_gpu_is_given_replies_to_generate():
    shown = dry_run(RECIPES / "1x24gb" / "qwen2.5-vl-7b-grpo.toml", "--gpus", "16")
    assert "16 GPUs of 24 GB: cannot be run: trainer.steps_per_generation x gpus is 8" in shown.output
    assert words_of_command(shown)[-1] == "trainer.steps_per_generation=16"


def test_a_gpu_that_is_too_small_for_everything():
    shown = dry_run(RECIPES / "1x24gb" / "qwen2.5-vl-7b-grpo.toml", "--gpu-memory", "4")
    assert shown.exit_code == 1
    assert "no settings were found that fit GPUs of 4 GB" in shown.output
    assert "run: " not in shown.output


def test_the_cheapest_settings_come_first():
    sft = maker(RECIPES / "1x80gb" / "qwen2.5-vl-3b-sft.toml")
    assert not judge(sft(()), TYPICAL, 1, 22).fits
    settings = find_way(sft, TYPICAL, 1, 22).settings
    assert all(re.match(r"trainer\.(per_device|gradient_acc)|dev\.batch_size", setting) for setting in settings)


def test_the_table_of_the_guide_is_what_the_estimate_gives():
    text = (RECIPES.parents[1] / "docs" / "train.md").read_text()
    rows = re.findall(r"^\| `([\dx]+gb|paper)/` \|.*?\| (.*) \|$", text, re.MULTILINE)
    assert {folder for folder, _ in rows} == {path.parent.name for path in PRESETS}
    for folder, cells in rows:
        for name, cell in zip(MODELS, cells.split(" | "), strict=True):
            found = []
            for path in sorted((RECIPES / folder).glob(f"{name}-*.toml"), reverse=True):  # sft, then grpo
                preset = Preset.create(path, {})
                found.append(f"{judge(preset, TYPICAL, preset.gpus, preset.gpu_memory).used:.0f}")
            assert cell == " / ".join(found), f"{folder}, {name}"


def test_an_adapter_learns_at_ten_times_the_rate():
    make = maker(RECIPES / "8x80gb" / "qwen2.5-vl-7b-grpo.toml")
    way = find_way(make, TYPICAL, 1, 80)
    preset = make(way.settings)
    assert preset.lora_config().r == 64
    assert (preset.dtype, preset.trainer["learning_rate"]) == ("bfloat16", 1e-5)
    assert way.gpus == 1


@pytest.mark.parametrize(
    ("gpus", "words"),
    [
        (1, []),
        (2, ["--num_processes", "2"]),
        (8, []),
        (16, ["--num_processes", "16", "--num_machines", "2", "--machine_rank", "RANK", "--main_process_ip", "HOST"]),
    ],
)
def test_how_many_processes_are_launched(gpus, words):
    shown = dry_run(RECIPES / "1x80gb" / "qwen2.5-vl-7b-sft.toml", "--gpus", str(gpus), "--set", "rows=100")
    command = words_of_command(shown)
    assert (command[0] == "accelerate") == (gpus > 1)
    if gpus == 1:
        assert command[0] == "spatial-ssrl"
    else:
        assert command[3].endswith("recipes/accelerate/ddp-8gpu.yaml")
    assert " ".join(words) in " ".join(command)
    assert "rows=100" in command


def test_a_checkpoint_within_a_generation_is_no_way():
    """Settings that a run would refuse are not proposed: judging them raises, as the run would."""
    with pytest.raises(RecipeError, match="save_steps"):
        judge(maker(RECIPES / "paper" / "qwen2.5-vl-7b-grpo.toml")(("trainer.save_steps=21",)), TYPICAL, 8, 80)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "x", "--out", "y", "--gpus", "2"], "--gpus and --gpu-memory: they are for --dry-run"),
        (["--data", "x"], "--out: no folder"),
        (["--out", "y"], "--data: no rows to train on"),
    ],
)
def test_what_a_run_needs_is_asked_for(words, message, capsys):
    path = RECIPES / "1x24gb" / "qwen2.5-vl-3b-sft.toml"
    done = CliRunner().invoke(app, ["train", "sft", str(path), *words])
    assert done.exit_code == 2
    assert message in done.output


def test_development_rows_and_their_prompts_take_memory():
    def used(rows):
        preset = maker(RECIPES / "1x24gb" / "qwen3-vl-4b-sft.toml")((f"dev.batch_size={rows}",))
        return judge(preset, TYPICAL, 1, 24).used

    key_and_value = 4 * 36 * 1024  # bytes a token of Qwen3-VL-4B
    tokens = 3 * (2119 + 512)
    assert used(11) - used(8) >= 0.8 * key_and_value * tokens / 1e9, "or their prompts take more"
    assert used(1) < used(8) < used(32)


def test_four_bits_hold_linear_layers_in_a_quarter():
    exact = judge(maker(RECIPES / "1x24gb" / "qwen2.5-vl-7b-sft.toml")(("quantize=4bit",)), TYPICAL, 1, 24).parts["weights"]
    whole = judge(Preset.create(RECIPES / "1x48gb" / "qwen2.5-vl-7b-sft.toml", {}), TYPICAL, 1, 48).parts["weights"]
    assert whole == pytest.approx(2 * 8.292, rel=1e-3)
    assert exact == pytest.approx(2 * (8.292 - 7.200) + 0.516 * 7.200, rel=1e-3)
