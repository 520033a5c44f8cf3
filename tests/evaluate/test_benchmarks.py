"""Contracts that every benchmark keeps on miniature data in every form, and on the real tables."""

import csv
import dataclasses

import pytest

from evaluate.helpers import QUIET, Refusing, Scripted
from evaluate.miniatures import choice_tsv, embedded, encoded, parquet, picture, tsv, write_all
from spatial_ssrl.errors import DatasetError
from spatial_ssrl.evaluate import BENCHMARKS, GENERAL, SPATIAL, Question, Settings, evaluate
from spatial_ssrl.evaluate.benchmarks.vsibench import mean_relative_accuracy
from spatial_ssrl.evaluate.benchmarks.whatsup import WhatsUp
from spatial_ssrl.evaluate.replies import Stored
from spatial_ssrl.evaluate.run import judge
from spatial_ssrl.evaluate.suite import find, left_out, plan

CHOICES = ("index", "question", "A", "B", "answer", "category", "prediction")
KIT_COLUMNS = dict.fromkeys(("3dsrbench", "spatialeval", "blink", "realworldqa", "seedbench2plus"), CHOICES) | {
    "spatial457": ("index", "question", "answer", "category", "prediction"),
    "qspatial": ("index", "answer", "question_type", "prediction"),
    "whatsup": ("index", "question", "answer", "prediction"),
    "viewspatial": ("index", "question_type", "candidates", "answer", "prediction"),
    "vsi-bench": ("index", "video", "question_type", "candidates", "answer", "prediction"),
    "mmbench": (*CHOICES, "l2-category"),
    "hallusionbench": ("index", "question", "answer", "category", "l2-category", "prediction"),
    "ocrbench": ("index", "answer", "category", "prediction"),
    "chartqa": ("index", "question", "answer", "split", "prediction"),
}
"""What VLMEvalKit's scoring reads."""
OTHERS = [kind.name for kind in (*SPATIAL, *GENERAL)]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    return folder, write_all(folder)


def read(tables, name):
    return [(BENCHMARKS[name](), path, n, BENCHMARKS[name]().read(path)) for known, path, n in tables[1] if known == name]


def judged(benchmark, question, text, policy="robust", mode="reasoning"):
    stored = Stored("", benchmark.name, question.id, 0, mode, text, None)
    return judge(benchmark, question, stored, Settings(mode=mode, policy=policy))


def gold(benchmark, question):
    """The right answer as a model should write it."""
    return f"<think>so</think>\\boxed{{{question.answer}{' cm' if benchmark.name == 'qspatial' else ''}}}"


@pytest.mark.parametrize("name", OTHERS)
def test_every_form_is_read_whole(tables, name):
    for _, path, n, questions in read(tables, name):
        assert len(questions) == n, path
        for question in questions:
            assert question.text
            assert question.answer
            assert question.cluster
            assert not any(letter == question.answer for letter in "EFGH")


@pytest.mark.parametrize("name", [name for name in OTHERS if name != "vsi-bench"])
def test_pictures_are_found_and_have_their_place(tables, name):
    for benchmark, path, _, questions in read(tables, name):
        for question in questions:
            for image in question.images:
                assert image.data[:4] in (b"\xff\xd8\xff\xe0", b"\x89PNG"), path
            for mode in ("direct", "reasoning"):
                assert (
                    benchmark.prompt(question, mode).count("<image>") == max(1, len(question.images)) or not question.images
                )


@pytest.mark.parametrize("name", OTHERS)
def test_prompts_say_how_to_answer_and_list_options_once(tables, name):
    for benchmark, _, _, questions in read(tables, name):
        for question in questions:
            direct, reasoning = benchmark.prompt(question, "direct"), benchmark.prompt(question, "reasoning")
            assert "\\boxed" in reasoning
            assert "\\boxed" not in direct
            for letter, choice in zip("ABCD", question.choices, strict=False):
                assert f"{letter}. {choice}" in reasoning
                assert reasoning.count(f"\n{letter}. ") == 1


@pytest.mark.parametrize("name", OTHERS)
def test_gold_scores_1_and_nothing_scores_0(tables, name):
    for benchmark, path, _, questions in read(tables, name):
        for question in questions:
            assert judged(benchmark, question, gold(benchmark, question)).accuracy == 1, (path, question)
            for text in ("", "<think>It is \\boxed{" + question.answer, "I cannot tell."):
                verdict = judged(benchmark, question, text)
                assert verdict.accuracy == 0, (path, question, text)
            assert judged(benchmark, question, "").parsed is None


@pytest.mark.parametrize("name", OTHERS)
def test_a_benchmark_says_whether_its_official_rule_reads_boxes(tables, name):
    for benchmark, path, _, questions in read(tables, name):
        if name == "realworldqa":  # VLMEvalKit has no rule for answers that are no choice
            questions = [question for question in questions if question.choices]
        scores = {judged(benchmark, question, gold(benchmark, question), "official").accuracy for question in questions}
        assert scores == {float(benchmark.official_reads_boxes)}, path


@pytest.mark.parametrize("name", OTHERS)
def test_all_right_is_1_in_every_metric_and_all_wrong_0(tables, name):
    for benchmark, path, _, questions in read(tables, name):
        right = [judged(benchmark, question, gold(benchmark, question)) for question in questions]
        wrong = [dataclasses.replace(v, accuracy=0.0, parsed=None) for v in right]
        assert all(metric.value == pytest.approx(1.0) for metric in benchmark.metrics(right)), path
        assert {metric.value for metric in benchmark.metrics(wrong)} == {0.0}, path


@pytest.mark.parametrize("name", OTHERS)
def test_a_table_of_something_else_is_refused(name, tmp_path):
    tsv(tmp_path / "other.tsv", [{"sentence": "one", "label": "two"}])
    with pytest.raises(DatasetError, match="is not a table of"):
        BENCHMARKS[name]().read(tmp_path / "other.tsv")


@pytest.mark.parametrize("name", OTHERS)
def test_a_table_is_found_by_its_known_names(tables, name):
    found = find(BENCHMARKS[name], tables[0])
    assert found is not None
    assert BENCHMARKS[name]().read(found)


def test_suites_are_planned(tables, tmp_path):
    folder, _ = tables
    names = [benchmark.name for benchmark, _ in plan("spatial", folder, None, "test")]
    assert names == ["spatial457", "3dsrbench", "spatialeval", "qspatial", "whatsup", "viewspatial", "vsi-bench"]
    assert len(plan("all", folder, tmp_path, "test")) == 15
    assert left_out("all", folder) == []
    assert left_out("spatial,blink", tmp_path)[:2] == ["Spatial457", "3DSRBench"]
    assert plan(f"blink={tmp_path}", folder, None, "test")[0][1] == tmp_path
    with pytest.raises(DatasetError, match="no benchmark 'imagenet'; known: spatial, general, all, spatial457"):
        plan("imagenet", folder, None, "test")
    with pytest.raises(DatasetError, match=r"holds no table of BLINK; expected BLINK\.tsv or BLINK, or --suite blink=PATH"):
        plan("blink", tmp_path, None, "test")


def test_a_picture_column_may_name_a_file_or_another_row(tmp_path):
    (tmp_path / "1.png").write_bytes(picture(1))
    choice_tsv(tmp_path / "t.tsv", 3, image=lambda i: (encoded(0), "0", "1.png")[i])
    questions = BENCHMARKS["blink"]().read(tmp_path / "t.tsv")
    assert [q.images[0].data for q in questions] == [picture(0), picture(0), picture(1)]
    assert questions[0].cluster == questions[1].cluster != questions[2].cluster


def test_questions_on_one_picture_are_one_cluster(tmp_path):
    """Each table has three questions on a picture and one on another."""
    shown, kit = [embedded(i // 3) for i in range(4)], [encoded(0), "0", "0", encoded(1)]
    turns = {"index": lambda i: (0, 1, 1_000_000, 2)[i], "image": lambda i: kit[i]}
    choice_tsv(tmp_path / "mmbench.tsv", **turns)
    rows = [{"question": "How wide?", "answer_value": 1.5, "answer_unit": "m", "image": image} for image in shown]
    parquet(tmp_path / "qspatial.parquet", rows)
    rows = [{"index": i, "question": "How wide?", "answer": "(1.5, 'm')", "image": image} for i, image in enumerate(kit)]
    tsv(tmp_path / "qspatial.tsv", rows)
    kind = {"sub_task": "Relative_Depth", "question": "Which?", "answer": "(B)", "choices": ["x", "y"]}
    parquet(tmp_path / "blink.parquet", [{**kind, "idx": f"{i}", "image_1": image} for i, image in enumerate(shown)])
    parquet(tmp_path / "realworldqa.parquet", [{"image": image, "question": "Red?", "answer": "Yes"} for image in shown])
    choice_tsv(tmp_path / "3dsrbench.tsv", image=lambda i: kit[i], qid=lambda i: f"{i:08d}")
    for path in tmp_path.iterdir():
        clusters = [question.cluster for question in BENCHMARKS[path.stem]().read(path)]
        assert clusters[0] == clusters[1] == clusters[2] != clusters[3], path.name


def test_3dsrbench_joins_mirrored_and_shared_pictures(tmp_path):
    qids = ("00000001", "00000001-flip", "00000002-flip", "00000002", "00000003")
    images = [encoded(i) for i in (0, 1, 1, 2, 3)]
    choice_tsv(tmp_path / "pictures.tsv", 5, qid=lambda i: qids[i], image=lambda i: images[i])
    choice_tsv(tmp_path / "addresses.tsv", 5, qid=lambda i: qids[i], image_url=lambda i: "abbcd"[i])
    choice_tsv(tmp_path / "neither.tsv", 5, image=lambda i: images[i])
    for name, expected in (("pictures", 2), ("addresses", 2), ("neither", 4)):
        clusters = [question.cluster for question in BENCHMARKS["3dsrbench"]().read(tmp_path / f"{name}.tsv")]
        assert len(set(clusters)) == expected, name
        assert clusters[0] != clusters[4]


def test_damaged_tables_are_refused(tmp_path):
    contents = {"a.json": "{", "b.parquet": "PAR1", "c.txt": "x", "d.jsonl": "{}\n{"}
    contents |= {"e.json": "[1, 2]", "f.json": '["a"]', "g.json": "5", "h.tsv": "index\tA\n0\tx\ty\n"}
    contents |= {"i.json": '[{"index": 0, "question": "q", "A": "x", "image": 5}]'}
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(DatasetError):
            BENCHMARKS["blink"]().read(tmp_path / name)
    choice_tsv(tmp_path / "twice.tsv", index=lambda i: 7)
    with pytest.raises(DatasetError, match="3 rows with an index that another row has"):
        BENCHMARKS["blink"]().read(tmp_path / "twice.tsv")


def test_known_bad_versions_are_named():
    question = Question("1", "How many?", ("3",))
    wrong, short = BENCHMARKS["spatial457"]().warnings("1f24f5a7b2cadc3d33a8a66ecf92ca68", [question])
    assert "2,154 wrong answers" in wrong
    assert short == "Spatial457: 1 questions, the whole benchmark has 23752"


def test_a_table_without_answers_is_warned_of():
    rows = [Question(i, "Which?", ("",), ("cup", "plate"), fields={"group": "1"}) for i in ("1", "1000001")]
    found = BENCHMARKS["mmbench"]().warnings("", rows)
    assert found == [
        "MMBench v1.1 EN: the table has no answers, so scores say nothing; predictions.tsv is what its organisers score"
    ]


def test_a_table_cut_short_is_warned_of(tables):
    benchmark, _, _, questions = read(tables, "mmbench")[0]
    assert benchmark.warnings("", questions) == []
    assert benchmark.warnings("", questions[:3]) == [
        "MMBench v1.1 EN: 1 of 2 questions lack rotations; is the table cut short?"
    ]


@pytest.mark.parametrize(
    ("asked", "gold_", "text", "right"),
    [("Are there any buses?", "Yes", "Yes, there is one.", True), ("Are there any buses?", "No", "\\boxed{None}", True),
     ("Are there any buses?", "No", "0", True), ("How many buses are there?", "3", "\\boxed{3 buses}", True),
     ("There is a red car; how many buses?", "3", "There are three buses.", True), ("How many buses?", "3", "2", False),
     ("What shape is it?", "Suv", "\\boxed{wagon}", True), ("What colour is it?", "red", "blue", False),
     ("Is it red?", "No", "Yes", False), ("Are there any buses?", "Yes", "2", True)],
)  # fmt: skip
def test_spatial457_answers_may_have_words_around_them(asked, gold_, text, right):
    question = Question("1", asked, (gold_,))
    assert judged(BENCHMARKS["spatial457"](), question, text).accuracy == right


@pytest.mark.parametrize(
    ("asked", "text", "parsed"),
    [("How many buses are there?", "Yes, there are 3.", "3"), ("Are there buses?", "Yes, there are 3.", "yes"),
     ("There is a car; does it have the colour of the bus?", "No, there are 3.", "no"),
     ("Is it red or blue?", "red", "red"), ("What is the speed limit?", "25 mph", "25"), ("Which colour?", "red.", "red")],
)  # fmt: skip
@pytest.mark.parametrize("name", ["spatial457", "realworldqa"])
def test_the_question_and_not_the_right_answer_says_what_is_read(name, asked, text, parsed):
    for gold_ in ("3", "Yes", "red"):
        assert judged(BENCHMARKS[name](), Question("1", asked, (gold_,)), text).parsed == parsed


def test_3dsrbench_groups(tables):
    benchmark, _, _, questions = read(tables, "3dsrbench")[0]
    hits = (1, 1, 0, 1)  # plain, mirrored, and the second rotation of each
    verdicts = [
        dataclasses.replace(judged(benchmark, q, ""), accuracy=float(hit)) for q, hit in zip(questions, hits, strict=True)
    ]
    values = {metric.name: metric.value for metric in benchmark.metrics(verdicts)}
    assert values == {"vanilla": 0.75, "circular": 0.5, "flip": 0.5, "flip-circular": 0.0}


def test_whatsup_does_not_always_show_the_right_caption_first(tables):
    questions = read(tables, "whatsup")[0][3]
    assert len({question.answer for question in questions}) > 1
    for question in questions:
        relation = question.id.split("_")[1].replace("_", " ")
        assert relation in question.choices["ABCD".index(question.answer)]


def test_whatsup_pairs_and_sets(tables):
    benchmark, _, _, questions = read(tables, "whatsup")[1]
    verdicts = [
        dataclasses.replace(judged(benchmark, q, ""), accuracy=float(hit))
        for q, hit in zip(questions, (1, 1, 0, 1), strict=True)
    ]
    assert [metric.value for metric in benchmark.metrics(verdicts)] == [0.75, 0.5, 0.0]


@pytest.mark.parametrize(
    ("text", "parsed"),
    [("on the left", "left"), ("To the right.", "right"), ("The mug is behind the knife.", "behind"),
     ("in front of", "front"), ("left or right", None), ("\\boxed{Left}", "left"), ("", None)],
)  # fmt: skip
def test_whatsup_words(tables, text, parsed):
    benchmark, _, _, questions = read(tables, "whatsup")[1]
    assert judged(benchmark, questions[0], text).parsed == parsed


def test_vsi_macro_takes_relative_directions_together(tables):
    benchmark, _, _, questions = read(tables, "vsi-bench")[0]
    hits = (0.5, 1, 0, 1)  # counting, direction easy and hard, route
    verdicts = [
        dataclasses.replace(judged(benchmark, q, ""), accuracy=float(hit)) for q, hit in zip(questions, hits, strict=True)
    ]
    assert [metric.value for metric in benchmark.metrics(verdicts)] == pytest.approx([2.5 / 4, (0.5 + 0.5 + 1) / 3])


@pytest.mark.parametrize(
    ("said_", "true", "loose", "strict"),
    [(4, 4, 1.0, 1.0), (3, 4, 0.6, 0.5), (6, 4, 0.1, 0.0), (2, 4, 0.1, 0.0), (1.9, 4, 0.0, 0.0), (0, 4, 0.0, 0.0)],
)
def test_mean_relative_accuracy(said_, true, loose, strict):
    assert mean_relative_accuracy(said_, true) == pytest.approx(loose)
    assert mean_relative_accuracy(said_, true, strict=True) == pytest.approx(strict)


@pytest.mark.parametrize(
    ("text", "right"),
    [("1.5 m", True), ("150 cm", True), ("\\boxed{4 feet 11 inches}", True), ("0.76 m", True), ("0.75 m", False),
     ("3 m", False), ("2.9 meters", True), ("150", False), ("about 1.4 m", True)],
)  # fmt: skip
def test_qspatial_is_strict_at_the_factor_2(tables, text, right):
    benchmark, _, _, questions = read(tables, "qspatial")[0]
    assert judged(benchmark, questions[0], text).accuracy == right


def test_hallusionbench_figures_are_over_questions_with_a_picture(tables):
    benchmark, _, _, questions = read(tables, "hallusionbench")[0]
    hits = (0, 1, 1, 0)  # the first has no picture; the third and fourth are OCR of different categories
    verdicts = [
        dataclasses.replace(judged(benchmark, q, ""), accuracy=float(hit)) for q, hit in zip(questions, hits, strict=True)
    ]
    values = {metric.name: metric.value for metric in benchmark.metrics(verdicts)}
    assert values["aAcc"] == values["fAcc"] == values["qAcc"] == pytest.approx(2 / 3)
    assert values["mean as in VLMEvalKit"] == pytest.approx((2 / 3 + 1 / 2 + 1 / 2) / 3)
    assert values["aAcc without picture"] == 0


@pytest.mark.parametrize(
    ("text", "parsed"),
    [("B", "B"), ("(B)", "B"), ("AB", None), ("It is (B)\n\n(A) or (B)", None),
     ("First (A) then (B)\n\nThe answer is (A)", "A"), ("(A) or (B)", None), ("The answer is B", None)],
)  # fmt: skip
def test_blinks_own_rule(tables, text, parsed):
    benchmark, _, _, questions = read(tables, "blink")[1]
    assert judged(benchmark, questions[0], text, "official").parsed == parsed


def test_the_papers_reading_has_the_papers_faults(tables):
    view, _, _, questions = read(tables, "viewspatial")[0]
    article = judged(view, questions[0], "\\boxed{a place to the front-up}", "reference")
    assert (article.parsed, article.accuracy) == ("A", 0)
    vsi, _, _, questions = read(tables, "vsi-bench")[0]
    assert judged(vsi, questions[0], "\\boxed{4 chairs}", "reference").parsed is None
    assert judged(vsi, questions[0], "\\boxed{4 chairs}", "robust").accuracy == 1
    assert judged(vsi, questions[1], "\\boxed{A. red}", "reference").parsed is None
    assert judged(vsi, questions[1], "\\boxed{\\text{A}}", "reference").parsed is None
    whatsup: WhatsUp = read(tables, "whatsup")[0][0]
    question = read(tables, "whatsup")[0][3][0]
    rambling = f"The answer is Not clear, {question.answer} or another of ABCD"
    assert judged(whatsup, question, rambling, "reference", "direct").accuracy == 1
    assert judged(whatsup, question, rambling, "robust", "direct").parsed is None


@pytest.mark.parametrize(
    ("name", "file", "n", "clusters"),
    [("vsi-bench", "vsi_bench.json", 5130, 288), ("viewspatial", "ViewSpatial-Bench.json", 5712, 1338),
     ("whatsup", "whatsup_A.jsonl", 412, 103), ("whatsup", "whatsup_B.jsonl", 408, 102),
     ("whatsup", "whatsup_*.jsonl", 820, 205), ("hallusionbench", "HallusionBench.json", 1129, 167),
     ("ocrbench", "OCRBench.json", 1000, 930)],
)  # fmt: skip
def test_real_tables_load_whole_and_gold_scores_1(real_eval, name, file, n, clusters):
    benchmark = BENCHMARKS[name]()
    questions = benchmark.read(real_eval / file)
    assert len(questions) == n
    assert len({question.cluster for question in questions}) == clusters
    right = [judged(benchmark, question, gold(benchmark, question)) for question in questions]
    assert {v.accuracy for v in right} == {1.0}
    assert benchmark.metrics(right)[0].value == pytest.approx(1.0)


def test_counts_of_the_real_tables(real_eval):
    shown = [q for q in BENCHMARKS["hallusionbench"]().read(real_eval / "HallusionBench.json") if q.images]
    assert len(shown) == 951
    keys = [("category", "kind", "set", "figure"), ("category", "kind", "set", "question")]
    # 346 figures and 455 questions: arXiv 2310.14566, abstract
    assert [len({tuple(q.fields[part] for part in key) for q in shown}) for key in keys] == [346, 455]
    whatsup = BENCHMARKS["whatsup"]().read(real_eval / "whatsup_*.jsonl")
    assert len({q.fields["set"] for q in whatsup}) == 820 / 4
    assert len({q.fields["pair"] for q in whatsup}) == 820 / 2


@pytest.mark.parametrize("name", OTHERS)
def test_every_benchmark_runs_end_to_end(tables, name, tmp_path):
    for i, (benchmark, path, n, questions) in enumerate(read(tables, name)):
        by_prompt = {benchmark.prompt(q, "reasoning"): gold(benchmark, q) for q in questions}
        backend = Scripted(lambda p, by_prompt=by_prompt: by_prompt[p.text])
        results = evaluate(benchmark, path, backend, tmp_path / str(i), Settings(), QUIET)
        assert results.overall.n == n
        assert results.headline.name == benchmark.headline
        again = evaluate(benchmark, path, Refusing(), tmp_path / str(i), Settings(), QUIET)
        assert again == results
        with (tmp_path / str(i) / "predictions.tsv").open(newline="") as file:
            lines = list(csv.DictReader(file, delimiter="\t"))
        assert len(lines) == n
        assert set(KIT_COLUMNS[name]) <= set(lines[0])
