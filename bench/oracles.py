"""Our scorers against VLMEvalKit's on random cases: prints cases and mismatches of each metric, ends with 1 on any.

make test-vlmeval, or python bench/oracles.py [--cases 20000] in an environment with ms-vlmeval 0.0.20 (see Makefile).

VLMEvalKit's own functions and evaluate() methods are called, without a judge model. Its package imports torch and much
else at the top; here its modules are loaded one by one, with two stubs that no scorer touches. Its Spatial457 calls the
module tqdm, which is put right at run time.
"""

import argparse
import contextlib
import importlib
import io
import os
import sys
import sysconfig
import tempfile
import types
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spatial_ssrl.evaluate import BENCHMARKS, Settings, Verdict, vlmevalkit
from spatial_ssrl.evaluate.benchmarks import chartqa, vsibench
from spatial_ssrl.evaluate.replies import Stored
from spatial_ssrl.evaluate.run import judge, write_predictions
from spatial_ssrl.rng import generator

CASES = 20_000
TABLE = 1000
"""Rows a random table."""
IMAGE = "A" * 100
WORDS = [
    *("left", "right", "front", "back", "on", "under", "yes", "no", "car", "red", "box", "the", "a", "an", "Point", "is"),
    *("it", "image", "option", "answer", "two", "3", "1.5"),
]
LEVELS = ["L1_single", "L2_objects", "L3_2d_spatial", "L4_occ", "L4_pose", "L5_6d_spatial", "L5_collision"]

Rng = np.random.Generator
Row = dict[str, Any]


def kit(module: str) -> Any:
    """A module of VLMEvalKit, without what its packages import at the top."""
    root = Path(sysconfig.get_paths()["purelib"]) / "vlmeval"
    for name, folder in (("vlmeval", root), ("vlmeval.dataset", root / "dataset")):
        if name not in sys.modules:
            sys.modules[name] = types.ModuleType(name)
            sys.modules[name].__path__ = [str(folder)]
    stubs: dict[str, Row] = {
        "decord": {},
        "vlmeval.dataset.video_base": {"VideoBaseDataset": object},
        "vlmeval.dataset.utils.judge_util": {"build_judge": None, "DEBUG_MESSAGE": ""},
    }
    for name, content in stubs.items():
        sys.modules.setdefault(name, types.ModuleType(name)).__dict__.update(content)
    return importlib.import_module(f"vlmeval.{module}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=CASES)
    cases = parser.parse_args().cases
    os.environ["PRED_FORMAT"] = "tsv"  # its intermediate files; xlsx refuses some characters
    warnings.simplefilter("ignore")
    print("| metric | cases | mismatches |\n|---|---:|---:|")
    failed = 0
    for name, oracle in ORACLES.items():
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            done, wrong = oracle(generator("oracles", name), cases)
        failed += len(wrong)
        print(f"| {name} | {done:,} | {len(wrong)} |", flush=True)
        for case in wrong[:5]:
            print(f"    {case!r}"[:400], file=sys.stderr)
    raise SystemExit(failed > 0)


def pick(rng: Rng, values: Sequence[Any]) -> Any:
    return values[int(rng.integers(len(values)))]


def reply(rng: Rng, choices: Sequence[str] = ()) -> str:
    """Letters, words, options, boxes, refusals and punctuation in any order."""
    pieces = [*"ABCDEZ", *WORDS, *choices, *vlmevalkit.REFUSALS[:1], vlmevalkit.FAILED]
    weights = np.array([8.0] * 6 + [2.0] * len(WORDS) + [6.0] * len(choices) + [0.5, 0.5])
    said = rng.choice(np.array(pieces, dtype=object), int(rng.integers(0, 9)), p=weights / weights.sum())
    marks = (" ", " ", " ", ". ", ", ", ".", "\n", ") ", " (", ": ", "-", "/", "**", '"', " {", "}")
    text = "".join(word + pick(rng, marks) for word in said)
    return text if rng.random() < 0.8 else text.lower()


def options(rng: Rng) -> list[str]:
    """Two to four options, some with common beginnings, some alike but for case."""
    count = int(rng.integers(2, 5))
    return [" ".join(rng.choice(WORDS, int(rng.integers(1, 4)))) for _ in range(count)]


def compare(cases: int, one: Callable[[], tuple[Any, Any, Any]]) -> tuple[int, list[Any]]:
    """Run single cases; each gives what was put in, our result, and theirs."""
    found = [one() for _ in range(cases)]
    return cases, [case for case in found if not same(case[1], case[2])]


def same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, float | int) and isinstance(theirs, float | int | np.floating):
        return abs(float(ours) - float(theirs)) < 1e-9
    return bool(ours == theirs)


def choice_letters(rng: Rng, cases: int) -> tuple[int, list[Any]]:
    theirs = kit("utils.matching_util").can_infer

    def one() -> tuple[Any, Any, Any]:
        choices = options(rng)
        text = reply(rng, choices)
        lettered = dict(zip("ABCD", choices, strict=False))
        return (text, choices), vlmevalkit.infer_choice(text, choices), theirs(text, lettered) or None

    return compare(cases, one)


def yes_no(rng: Rng, cases: int) -> tuple[int, list[Any]]:
    theirs = kit("dataset.utils.yorn").YOrN_Extraction

    def one() -> tuple[Any, Any, Any]:
        text = reply(rng, ("Yes", "No", "1,000", "yes."))
        found = theirs(text).lower()
        return text, vlmevalkit.infer_yes_no(text), None if found == "unknown" else found

    return compare(cases, one)


def relaxed(rng: Rng, cases: int) -> tuple[int, list[Any]]:
    theirs = kit("dataset.utils.vqa_eval").relaxed_correctness

    def text(value: float) -> str:
        kinds = (f"{value:.3g}", f"{value:.2f}", f"{value:.1f}%", f"{value:g}", "Yes", "yes", "0", "1,000", "nan", "inf", "")
        return pick(rng, kinds)

    def one() -> tuple[Any, Any, Any]:
        value = float(rng.normal(0, 100))
        gold, said = text(value), text(value * float(rng.uniform(0.93, 1.07)))
        return (gold, said), chartqa.relaxed(gold, said), theirs(gold, said)

    return compare(cases, one)


def relative_accuracy(rng: Rng, cases: int) -> tuple[int, list[Any]]:
    theirs = kit("dataset.utils.spatial_bench.cal_scores").mean_relative_accuracy

    def one() -> tuple[Any, Any, Any]:
        true = float(pick(rng, (1, 2, 4, 10, 62, 26.4, 0.7, 3.3)))
        factor = float(pick(rng, (rng.uniform(0, 2.5), 1 + rng.integers(-20, 21) * 0.025)))
        said = round(true * factor, int(rng.integers(0, 6)))
        return (said, true), vsibench.mean_relative_accuracy(said, true), theirs(said, true)

    return compare(cases, one)


def vehicles(rng: Rng, cases: int) -> tuple[int, list[Any]]:
    utils = kit("dataset.utils.spatial457").Spatial457_utils()
    terms = [
        *utils.all_answers().split(", "),
        "Yes",
        "No",
        "yes",
        "none",
        "None",
        *"0123456789",
        "10",
        "two",
        "Ten",
        "car",
        "Bus",
    ]
    terms += ["", " ", "ten ", "Aeroplane", "articulated"]
    benchmark = BENCHMARKS["spatial457"]()

    def one() -> tuple[Any, Any, Any]:
        gold, said = pick(rng, terms[:-5]), pick(rng, terms)
        question = question_of(
            benchmark, {"index": 0, "question": "q", "answer": gold, "category": LEVELS[0], "image": IMAGE}
        )
        return (gold, said), benchmark.score(said, question, "official"), float(utils.is_correct(gold, said))

    return compare(cases, one)


def question_of(benchmark: Any, row: Row) -> Any:
    from spatial_ssrl.evaluate.reading import Pictures

    return benchmark.question({**row, "_file": "table"}, Pictures([row], Path()), 0)


def over_tables(
    name: str, make: Callable[[Rng], list[Row]], theirs: Callable[[str, pd.DataFrame], Row]
) -> Callable[[Rng, int], tuple[int, list[Any]]]:
    """Random tables with replies, compared figure by figure; VLMEvalKit reads the predictions.tsv that a run writes.

    A row has the table's columns and `prediction`; `theirs` gives its figures by our names, in [0, 1].
    """

    def oracle(rng: Rng, cases: int) -> tuple[int, list[Any]]:
        wrong: list[Any] = []
        done = 0
        while done < cases:
            rows = make(rng)
            done += len(rows)
            with tempfile.TemporaryDirectory() as folder:
                table = pd.DataFrame(rows).drop(columns="prediction")
                table.to_csv(Path(folder) / "table.tsv", sep="\t", index=False)
                file = Path(folder) / "predictions.tsv"
                found = our_figures(name, Path(folder) / "table.tsv", [str(row["prediction"]) for row in rows], file)
                expected = theirs(str(file), table)
            wrong += [(k, found.get(k), v) for k, v in expected.items() if not same(found.get(k, np.nan), v)]
        return done, wrong

    return oracle


def our_figures(name: str, table: Path, replies: Sequence[str], predictions: Path) -> dict[str, float]:
    """Metrics, and accuracy by category, under the official policy; writes the predictions as a run does."""
    benchmark, settings = BENCHMARKS[name](), Settings(mode="direct", policy="official")
    questions = benchmark.read(table)
    verdicts: list[Verdict] = [
        judge(benchmark, question, Stored("", name, question.id, 0, "direct", text, None), settings)
        for question, text in zip(questions, replies, strict=True)
    ]
    write_predictions(predictions, benchmark, questions, verdicts)
    figures = {metric.name: metric.value for metric in benchmark.metrics(verdicts)}
    for category in {v.category for v in verdicts}:
        figures[f"[{category}]"] = float(np.mean([v.accuracy for v in verdicts if v.category == category]))
    return figures


def dataset(module: str, kind: str, name: str, table: pd.DataFrame) -> Any:
    """A VLMEvalKit data set over a table that is already here."""
    made = object.__new__(getattr(kit(module), kind))
    made.dataset_name, made.data = name, table
    return made


def choice_rows(rng: Rng, categories: Sequence[str]) -> list[Row]:
    rows = []
    for i in range(TABLE):
        choices = options(rng)
        said = pick(rng, (reply(rng, choices), pick(rng, "ABCD"), f"({pick(rng, 'ABCD')})"))
        row = {"index": i, "image": IMAGE, "question": f"q{i}", **dict(zip("ABCD", choices, strict=False))}
        rows.append(
            {**row, "answer": "ABCD"[int(rng.integers(len(choices)))], "category": pick(rng, categories), "prediction": said}
        )
    return rows


def vanilla(name: str) -> Callable[[str, pd.DataFrame], Row]:
    def theirs(file: str, table: pd.DataFrame) -> Row:
        found = dataset("dataset.image_mcq", "ImageMCQDataset", name, table).evaluate(file, nproc=1).iloc[0]
        others = {f"[{c}]": float(found[c]) for c in set(table["category"])}
        return {"accuracy": float(found["Overall"]), **others}

    return theirs


def circular_rows(rng: Rng) -> list[Row]:
    """Questions in all rotations; a reply is right, or random."""
    rows = []
    for group in range(TABLE // 4):
        choices = options(rng)
        ability, answer, skill = pick(rng, ("LR", "RR")), int(rng.integers(len(choices))), rng.random()
        for turn in range(len(choices)):
            turned = choices[turn:] + choices[:turn]
            gold = "ABCD"[(answer - turn) % len(choices)]
            said = gold if rng.random() < skill else reply(rng, turned)
            row = {"index": group + turn * 1_000_000, "image": IMAGE, "question": f"q{group}"}
            row |= dict(zip("ABCD", turned, strict=False)) | {"answer": gold, "category": "c", "l2-category": ability}
            rows.append({**row, "prediction": said})
    return rows


def mmbench(file: str, table: pd.DataFrame) -> Row:
    found = dataset("dataset.image_mcq", "ImageMCQDataset", "MMBench_DEV_EN_V11", table).evaluate(file, nproc=1).iloc[0]
    return {"circular": float(found["Overall"]), **{f"circular: {a}": float(found[a]) for a in set(table["l2-category"])}}


def flipped_rows(rng: Rng) -> list[Row]:
    """Questions, mirrored or not, each in two rotations, as 3DSRBench names them."""
    rows: list[Row] = []
    for group in range(TABLE // 4):
        skill, category = rng.random(), pick(rng, ("height_higher", "location_above"))
        for variant in ("", "-flip", "-1", "-flip-1")[: int(pick(rng, (1, 2, 4)))]:
            choices = options(rng)
            gold = "ABCD"[int(rng.integers(len(choices)))]
            row = {"index": len(rows), "qid": f"{group:08d}{variant}", "image": IMAGE, "question": f"q{group}{variant}"}
            row |= dict(zip("ABCD", choices, strict=False)) | {"answer": gold, "category": category}
            rows.append({**row, "prediction": gold if rng.random() < skill else reply(rng, choices)})
    return rows


def threedsrbench(file: str, table: pd.DataFrame) -> Row:
    found = dataset("dataset.image_mcq", "_3DSRBench", "3DSRBench", table).evaluate(file, nproc=1)
    overall = dict(zip(found["setting"], found["Overall"], strict=True))
    ours = {"vanilla": "vanilla", "flip": "flip_eval", "circular": "circ_eval", "flip-circular": "flip_circ_eval"}
    vanilla_row = found[found["setting"] == "vanilla"].iloc[0]
    categories = {f"[{c}]": float(vanilla_row[c]) for c in set(table["category"])}
    return {name: float(overall[key]) for name, key in ours.items()} | categories


def hallusion_rows(rng: Rng) -> list[Row]:
    rows: list[Row] = []
    for set_id in range(TABLE // 25):
        category, skill = pick(rng, ("VD", "VS")), rng.random()
        kind = pick(rng, ("ocr", "illusion" if category == "VD" else "chart"))
        for figure in range(int(rng.integers(1, 5))):
            for question in range(int(rng.integers(1, 8))):
                gold = pick(rng, ("Yes", "No"))
                said = gold + pick(rng, ("", ".", ", it is")) if rng.random() < skill else reply(rng, ("yes", "No"))
                index = f"hallusion_{category}_{kind}_{set_id % 9}_{figure}_{question}_{len(rows)}"
                row = {"index": index, "image": IMAGE, "question": "q", "answer": gold, "category": category}
                rows.append({**row, "l2-category": kind, "prediction": said})
    return rows


def hallusionbench(file: str, table: pd.DataFrame) -> Row:
    found = dataset("dataset.image_yorn", "ImageYORNDataset", "HallusionBench", table).evaluate(file)
    overall = found[found["split"] == "Overall"].iloc[0]
    three = [float(overall[name]) / 100 for name in ("aAcc", "fAcc", "qAcc")]
    return {"aAcc": three[0], "mean as in VLMEvalKit": sum(three) / 3}


def spatial457_rows(rng: Rng) -> list[Row]:
    terms = [*"0123456789", "Yes", "No", "None", "two", "Suv", "Sedan", "Road bike", "Tandem bike", "red", "left", "Left"]
    forms = ("{}", "{{'Reasoning': 'x', 'Answer': '{}'}}", '{{"Reasoning": "x", "Answer": "{}"}}', "{{'Answer': {}}}")
    return [
        {
            **{"index": i, "image": IMAGE, "question": "q", "answer": pick(rng, terms[:-1]), "category": pick(rng, LEVELS)},
            "prediction": pick(rng, forms[said == "None" :]).format(said),  # alone, pandas takes it for a missing value
        }
        for i, said in enumerate(rng.choice(terms, TABLE))
    ]


def spatial457(file: str, table: pd.DataFrame) -> Row:
    module = kit("dataset.spatial457")
    module.tqdm = lambda rows: rows  # it imports the module and calls it
    made = dataset("dataset.spatial457", "Spatial457", "Spatial457", table)
    made.dataset_utils = module.Spatial457_utils()
    found = made.evaluate(file)
    return {"accuracy": found["score"], **{f"[{level}]": found[f"{level}_score"] for level in LEVELS}}


def ocr_rows(rng: Rng) -> list[Row]:
    from spatial_ssrl.evaluate.benchmarks.ocrbench import FORMULAS

    categories = ("Regular Text Recognition", "Doc-oriented VQA", "Key Information Extraction", FORMULAS)
    rows = []
    for i in range(TABLE):
        golds = [
            pick(rng, ("CENTRE", "y _ { 2 } = - 1\n", "10 cm", "It's", "Ünï", "a\nb", "")) for _ in range(rng.integers(1, 3))
        ]
        said = pick(rng, (reply(rng), golds[0], golds[0].lower(), f"It says {golds[-1]}.", "y_{2}=-1", "a b"))
        row = {"index": i, "image": IMAGE, "question": "q", "answer": repr(golds), "category": pick(rng, categories)}
        rows.append({**row, "prediction": said})
    return rows


def ocrbench(file: str, table: pd.DataFrame) -> Row:
    found = dataset("dataset.image_vqa", "OCRBench", "OCRBench", table).evaluate(file)
    counts = table["category"].value_counts()
    named = {c: c for c in counts.index} | {"Regular Text Recognition": "Text Recognition"}
    return {"accuracy": found["Final Score"] / len(table), **{f"[{c}]": found[named[c]] / counts[c] for c in counts.index}}


def chart_rows(rng: Rng) -> list[Row]:
    rows = []
    for i in range(TABLE):
        value = float(rng.normal(0, 100))
        gold = pick(rng, (f"{value:.2f}", f"{value:.0f}", f"{value:.1f}%", "Yes", "United States"))
        said = pick(rng, (gold, f" {value * rng.uniform(0.93, 1.07):.2f} ", gold.lower(), f"{gold}.", f"{value:.3g}%", "no"))
        split = pick(rng, ("test_human", "test_augmented"))
        rows.append({"index": i, "image": IMAGE, "question": "q", "answer": gold, "split": split, "prediction": said})
    return rows


def chart(file: str, table: pd.DataFrame) -> Row:
    found = dataset("dataset.image_vqa", "ImageVQADataset", "ChartQA_TEST", table).evaluate(file).iloc[0]
    halves = {f"[{half}]": float(found[f"test_{half}"]) / 100 for half in ("human", "augmented")}
    return {"relaxed accuracy": float(found["Overall"]) / 100, **halves}


def length_rows(rng: Rng) -> list[Row]:
    units = ("meters", "meter", "m", "cm", "centimeters", "feet", "foot", "ft", "inch", "inches", "in", "mm", "yards", "CM")
    rows = []
    for i in range(TABLE):
        value, unit = round(float(rng.uniform(0.2, 9)), 2), pick(rng, units[:11])
        factor = float(pick(rng, (rng.uniform(0.2, 4), 1.999, 0.501, 1.499, 1)))  # not 2: see qspatial.py
        said = f"\\scalar{{{value * factor:.4g}}} \\distance_unit{{{pick(rng, (unit, unit, pick(rng, units)))}}}"
        said = pick(
            rng,
            (
                said,
                said,
                said + said,
                f"\\scalar{{{value}-{value + 1.0037}}} \\distance_unit{{{unit}}}",
                reply(rng),
                "\\scalar{}",
            ),
        )
        row = {"index": i, "image": IMAGE, "question": "q", "answer": repr((value, unit)), "question_type": pick(rng, "ab")}
        rows.append({**row, "prediction": said})
    return rows


def qspatial(file: str, table: pd.DataFrame) -> Row:
    found = kit("dataset.image_vqa").QSpatial.evaluate(file)
    kinds = {f"[{kind}]": found[f"{kind}_delta_2"] for kind in set(table["question_type"])}
    return {"within factor 2": found["delta_2"], "within factor 1.5": found["delta_1_point_5"], **kinds}


def vsi_rows(rng: Rng) -> list[Row]:
    """Plain letters and numbers: of others VLMEvalKit reads more than the authors' first word."""
    from spatial_ssrl.evaluate.benchmarks.vsibench import FORMS

    tasks = [*FORMS, "object_rel_direction_easy", "object_rel_direction_medium", "object_rel_direction_hard"]
    tasks += ["object_rel_distance", "route_planning", "obj_appearance_order"]
    rows: list[Row] = []
    for i in range(TABLE):
        task, true = tasks[i] if i < len(tasks) else pick(rng, tasks), float(pick(rng, (1, 2, 4, 26.4, 62, 0.7)))
        row: Row = {"index": i, "video": f"v{i % 50}.mp4", "question": "q", "question_type": task}
        if task in FORMS:
            said = f"{true * float(pick(rng, (rng.uniform(0, 2), 1.5, 0.75, 1))):.4f}"
            rows.append({**row, "candidates": None, "answer": true, "prediction": said})
        else:
            row |= {"candidates": repr(["A. x", "B. y", "C. z"]), "answer": pick(rng, "ABC")}
            rows.append({**row, "prediction": pick(rng, "ABC") + pick(rng, ("", ".", ". "))})
    return rows


def vsi(file: str, table: pd.DataFrame) -> Row:
    module = kit("dataset.vsibench")
    made = object.__new__(module.VsiBench)
    made.dataset_name = "VSI-Bench"
    found = made.evaluate(file)
    named = {"macro": found["overall"] / 100}
    for task in ("object_counting", "object_abs_distance", "object_size_estimation", "room_size_estimation"):
        named[f"[{task}]"] = found[f"{task}_MRA:.5:.95:.05"] / 100
    for task in ("object_rel_distance", "route_planning", "obj_appearance_order"):
        named[f"[{task}]"] = found[f"{task}_accuracy"] / 100
    return named


def view_rows(rng: Rng) -> list[Row]:
    """Letters as models write them: elsewhere VLMEvalKit's rule is not the authors'."""
    kinds = ("Camera perspective - Relative Direction", "Person perspective - Relative Direction")
    rows = []
    for i in range(TABLE):
        said = pick(rng, "ABCD") + pick(rng, ("", ".", ". left", ")", ". front-right"))
        row = {"index": i, "image_path": f"scene{i % 60:04d}_00/{i}.jpg", "question": "q", "question_type": pick(rng, kinds)}
        rows.append({**row, "candidates": "A. x\nB. y\nC. z\nD. w", "answer": pick(rng, "ABCD"), "prediction": said})
    return rows


def view(file: str, table: pd.DataFrame) -> Row:
    scores = kit("dataset.utils.spatial_bench.cal_scores")
    settings = {
        "load_fn": lambda file: pd.read_csv(file, sep="\t"),
        "eval_file": file,
        "score_fn": scores.build_mcq_score_fn(),
        "group_col": "question_type",
    }
    found = scores.eval_mcq_score(**settings)
    kinds = {f"[{kind}]": found[f"{kind}_accuracy"] / 100 for kind in set(table["question_type"])}
    return {"accuracy": found["overall"] / 100, **kinds}


def choice_table(rng: Rng) -> list[Row]:
    return choice_rows(rng, ("map", "maze"))


ORACLES: dict[str, Callable[[Rng, int], tuple[int, list[Any]]]] = {
    "letter of a choice reply": choice_letters,
    "yes or no of a reply": yes_no,
    "ChartQA relaxed correctness": relaxed,
    "VSI-Bench mean relative accuracy": relative_accuracy,
    "Spatial457 equality": vehicles,
    "Spatial457 overall and levels": over_tables("spatial457", spatial457_rows, spatial457),
    "3DSRBench vanilla, flip, circular, flip-circular": over_tables("3dsrbench", flipped_rows, threedsrbench),
    "SpatialEval overall and subsets": over_tables("spatialeval", choice_table, vanilla("SpatialEval")),
    "QSpatial+ within 2 and 1.5": over_tables("qspatial", length_rows, qspatial),
    "ViewSpatial overall and types": over_tables("viewspatial", view_rows, view),
    "VSI-Bench macro and tasks": over_tables("vsi-bench", vsi_rows, vsi),
    "MMBench circular and abilities": over_tables("mmbench", circular_rows, mmbench),
    "HallusionBench aAcc and mean": over_tables("hallusionbench", hallusion_rows, hallusionbench),
    "RealWorldQA overall": over_tables("realworldqa", choice_table, vanilla("RealWorldQA")),
    "OCRBench score and types": over_tables("ocrbench", ocr_rows, ocrbench),
    "ChartQA overall and halves": over_tables("chartqa", chart_rows, chart),
    "SEED-Bench-2-Plus overall and sources": over_tables("seedbench2plus", choice_table, vanilla("SEEDBench2_Plus")),
}


if __name__ == "__main__":
    main()
