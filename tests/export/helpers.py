import importlib.util
import io
import re
import sys

import numpy as np
from PIL import Image

from spatial_ssrl import vlm
from spatial_ssrl.export import export
from spatial_ssrl.grammar import INSTRUCTIONS, Grammar
from spatial_ssrl.row import read_rows, splits_of


def run_export(dataset, to, out, **settings):
    return export(dataset, to, out, progress=lambda done, total: None, **settings)


def originals(dataset):
    """The rows of each split, by id."""
    return {split: {row["id"]: row for row in read_rows(dataset, split)} for split in splits_of(dataset)}


def pixels(image):
    """RGB pixels of a path, of encoded bytes or of a decoded picture."""
    if isinstance(image, bytes):
        image = io.BytesIO(image)
    opened = image if isinstance(image, Image.Image) else Image.open(image)
    return np.asarray(opened.convert("RGB"))


def parts(text):
    """Texts of a prompt, with None for each picture, as verl, EasyR1 and ms-swift split it."""
    return [None if part == "<image>" else part for part in re.split("(<image>)", text) if part]


def expected_parts(row, instruction="think"):
    return [part.get("text") for part in vlm.conversation(row["problem"], INSTRUCTIONS[instruction])[0]["content"]]


def assert_same_pictures(images, row):
    for image, original in zip(images, row["images"], strict=True):
        assert (pixels(image) == pixels(original["bytes"])).all()


def replies(row):
    """Replies that are right, wrong, of the wrong form, and right only by the grammar or the options."""
    answers = list(Grammar.from_spec(row["grammar"]).answers())
    wrong = next(answer for answer in answers if answer != row["answer"])
    loose = row["answer"].replace("-", ", ")
    option = row["options"][answers.index(row["answer"])] if row["options"] else loose
    boxes = [f"\\boxed{{{text}}}" for text in (row["answer"], wrong, loose, option)]
    return [f"<think>So.</think>{box}" for box in boxes] + [boxes[0], row["answer"], f"<think>{boxes[0]}</think>", ""]


def load_reward(folder):
    """The exported reward file, loaded by path as verl and EasyR1 load it."""
    spec = importlib.util.spec_from_file_location("custom_module", folder / "spatial_reward.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["custom_module"] = module
    spec.loader.exec_module(module)
    return module
