"""Comparisons, held against closed forms, simulation and the paper's own table."""

from math import comb

import numpy as np
import pytest

from evaluate.helpers import QUIET, Scripted
from evaluate.miniatures import choice_tsv
from spatial_ssrl.errors import DatasetError
from spatial_ssrl.evaluate import BENCHMARKS, Results, Settings, evaluate
from spatial_ssrl.evaluate.backends import Decoding
from spatial_ssrl.evaluate.compare import compare, differ
from spatial_ssrl.evaluate.metrics import Metric, Part
from spatial_ssrl.evaluate.paper import COLUMNS, GAINS, ROWS, plain_mean, published_gains
from spatial_ssrl.evaluate.tables import gains_table, headline_table, latex, markdown, read_runs

PRINTED_MEANS = dict(zip(ROWS, (45.91, 44.85, 50.54, 52.69, 49.58, 56.58, 60.14, 60.23, 61.43), strict=True))


def metric(scores):
    return Metric("m", (Part(1.0, np.asarray(scores, float), tuple(map(str, range(len(scores))))),))


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [(6, 1, 2 * (1 + 7) / 2**7), (1, 6, 2 * (1 + 7) / 2**7), (5, 0, 2 / 2**5), (3, 3, 1.0), (0, 0, 1.0)],
)
def test_mcnemar_is_exact(gained, lost, p):
    both = [1] * 20 + [0] * 10
    found = differ("b", metric(both + [0] * gained + [1] * lost), metric(both + [1] * gained + [0] * lost))
    assert (found.gained, found.lost) == (gained, lost)
    assert found.p == pytest.approx(p)


def test_fractions_have_no_mcnemar():
    assert differ("b", metric([0.5, 1]), metric([1, 1])).p is None


def test_interval_is_that_of_paired_differences():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 2, 2000)
    second = np.where(rng.random(2000) < 0.1, 1 - first, first)
    found = differ("b", metric(first), metric(second))
    change = second - first
    half = 1.96 * change.std(ddof=1) / np.sqrt(2000)
    assert (found.low, found.high) == pytest.approx((change.mean() - half, change.mean() + half), abs=0.002)
    unpaired = 1.96 * np.sqrt(2 * 0.25 / 2000)
    assert found.high - found.low < unpaired


def test_the_detectable_difference_is_found_four_times_in_five():
    rng, n, disagree = np.random.default_rng(1), 400, 0.2

    def draw(true):
        first = rng.integers(0, 2, n)
        kind = rng.choice(3, n, p=[1 - disagree, (disagree + true) / 2, (disagree - true) / 2])
        return np.choose(kind, [first, np.ones(n), np.zeros(n)]), np.choose(kind, [first, np.zeros(n), np.ones(n)])

    better, worse = draw(0.0)
    detectable = differ("b", metric(worse), metric(better)).detectable
    found = [differ("b", metric(worse), metric(better)).real for better, worse in (draw(detectable) for _ in range(150))]
    assert 0.7 < np.mean(found) < 0.9


def test_a_few_units_that_all_change_alike_prove_nothing():
    found = differ("b", metric([0, 0]), metric([1, 1]))
    assert (found.real, found.high) == (False, 1)
    same = differ("b", metric([0, 1] * 50), metric([0, 1] * 50))
    assert (same.low, same.high) == pytest.approx((-0.037, 0.037), abs=1e-3)
    assert differ("b", metric([0] * 40), metric([1] * 40)).real


def test_runs_are_compared_by_metric_and_category(runs):
    overall, macro, c0, c1 = compare(runs / "base", runs / "tuned")
    assert (overall.metric, overall.units, overall.difference) == ("accuracy", 40, 0.25)
    assert macro.difference == pytest.approx(0.25)
    assert (c0.difference, c0.p, c0.real) == (0, 1.0, False)
    assert np.isnan(c0.detectable)
    assert (c1.difference, c1.gained, c1.lost, c1.real) == (0.5, 10, 0, True)
    assert c1.p == pytest.approx(2 / 2**10)
    assert [d.difference for d in compare(runs / "tuned", runs / "base")] == pytest.approx([-0.25, -0.25, 0, -0.5])


def test_unparsed_rates_stand_beside_differences(runs):
    mute = runs / "mute" / "blink" / "reasoning"
    backend = Scripted(lambda p: "" if "q1\n" in p.text else "\\boxed{A}")
    evaluate(BENCHMARKS["blink"](), runs / "BLINK.tsv", backend, mute, Settings(), QUIET)
    found = {d.metric: d.unparsed for d in compare(runs / "base", runs / "mute")}
    assert found == {"accuracy": (0, 1 / 40), "macro": (0, 1 / 40), "c0": (0, 1 / 20), "c1": (0, 0)}


def test_runs_on_other_questions_or_policies_are_not_compared(runs):
    other = runs / "short" / "blink" / "reasoning"
    benchmark = BENCHMARKS["blink"]()
    evaluate(benchmark, runs / "BLINK.tsv", Scripted(lambda p: "A"), other, Settings(limit=30), QUIET)
    with pytest.raises(DatasetError, match="answered other questions"):
        compare(runs / "base", runs / "short")
    evaluate(benchmark, runs / "BLINK.tsv", Scripted(lambda p: "A"), other, Settings(policy="official"), QUIET)
    with pytest.raises(DatasetError, match=r"policy robust, .* by official"):
        compare(runs / "base", runs / "short")
    with pytest.raises(DatasetError, match=r"have no results\.json at the same place"):
        compare(runs / "base", runs / "base" / "blink")


def test_runs_on_other_versions_of_the_data_are_not_compared(runs):
    other, table = runs / "other" / "blink" / "reasoning", runs / "BLINK.tsv"
    table.write_text(table.read_text().replace("q7", "q seven"))
    evaluate(BENCHMARKS["blink"](), table, Scripted(lambda p: "A"), other, Settings(), QUIET)
    hashes = [Results.read(runs / name / "blink" / "reasoning").data.md5 for name in ("base", "other")]
    with pytest.raises(DatasetError, match=rf"MD5 {hashes[0]} and .* MD5 {hashes[1]}; run both on one table"):
        compare(runs / "base", runs / "other")


def test_tables(runs):
    head, rows, notes = headline_table(read_runs([runs / "base", runs / "tuned"]), paper=True)
    assert head == ["model", "BLINK"]
    assert rows[0] == ["base", "50.00 (35.2 to 64.8) 0.0% unparsed [1]"]
    assert notes == ["BLINK: 40 questions, the whole benchmark has 1901"]
    assert len(rows) == 2 + len(ROWS)
    assert rows[-4:] == [
        ["Spatial-SSRL-7B (published)", "56.23"],
        ["Qwen3-VL-4B direct (published)", ""],
        ["Qwen3-VL-4B reasoning (published)", ""],
        ["Spatial-SSRL-4B (published)", ""],
    ]
    assert markdown(head, rows).splitlines()[1] == "| --- | ---: |"
    assert markdown(head, rows, notes).endswith(f"|\n\n[1] {notes[0]}\n")
    text = latex(head, [["a_b", "50%"]], ["50%"])
    assert "a\\_b & 50\\% \\\\" in text
    assert text.endswith("\\par\\footnotesize [1] 50\\%\n")
    assert text.startswith("\\begin{tabular}{lr}\n\\toprule")


def test_a_table_tells_runs_of_one_name_apart(runs):
    folders = [runs / name / "blink" / "reasoning" for name in ("base", "tuned")]
    assert list(read_runs([*folders, folders[0]])) == ["base/blink/reasoning", "tuned/blink/reasoning"]
    with pytest.raises(DatasetError, match="holds 2 results of blink, reasoning; name the folder of each model"):
        read_runs([runs])


def test_a_table_says_what_was_not_obtained_by_default(runs):
    settings = Settings("direct", "official", Decoding(temperature=1.0), samples=2, limit=30)
    backend = Scripted(lambda prompt: "AB"[prompt.sample])
    evaluate(BENCHMARKS["blink"](), runs / "BLINK.tsv", backend, runs / "other" / "blink" / "direct", settings, QUIET)
    _, rows, notes = headline_table(read_runs([runs / "tuned", runs / "other"]))
    assert notes[1:] == ["direct prompt", "replies read by policy official", "the first 30 of 40 questions"]
    assert rows[0][1].endswith("unparsed [1]")
    assert rows[1][1].startswith("50.00 (")
    assert rows[1][1].endswith("; spread 0.00 over 2 samples) 0.0% unparsed [2] [3] [4] [1]")


def test_the_papers_means_follow_from_its_rows():
    assert set(PRINTED_MEANS) == set(ROWS)
    for model, values in ROWS.items():
        assert f"{plain_mean(dict(zip(COLUMNS, values, strict=True))):.2f}" == f"{PRINTED_MEANS[model]:.2f}", model


def test_published_gains_are_judged_both_ways():
    gains = {(gain.model, gain.benchmark): gain for gain in published_gains()}
    assert len(gains) == 3 * 6 + 2 * 5
    assert {model for model, _ in gains} == set(GAINS)
    vsi = gains["Spatial-SSRL-3B", "vsi-bench"]
    assert (vsi.points, vsi.verdict) == (pytest.approx(5.65), "yes")
    qspatial = gains["Spatial-SSRL-3B", "qspatial"]  # 6 of 101: independent errors could do it, nested could not
    assert (qspatial.verdict, qspatial.best_p) == ("open", 2 / 2**6)
    whatsup = gains["Spatial-SSRL-4B", "whatsup"]  # 799 and 810 of 820: the normal approximation would say yes
    assert (whatsup.points < 0, whatsup.verdict) == (True, "open")
    assert whatsup.independent_p == pytest.approx(hypergeometric_tail(799, 810, 820))


def hypergeometric_tail(first, second, n):
    """Probability of all splits of the right answers between two models that are no likelier than this one."""
    ways = {k: comb(n, k) * comb(n, first + second - k) for k in range(first + second - n, n + 1)}
    return sum(count for count in ways.values() if count <= ways[first]) / comb(2 * n, first + second)


def test_the_size_of_a_benchmark_may_be_told_by_a_run_of_it_all(tmp_path):
    choice_tsv(tmp_path / "3DSRBench.tsv", 300, qid=lambda i: f"{i:08d}")
    for name, limit in (("whole", None), ("short", 200)):
        settings = Settings(limit=limit)
        folder = tmp_path / name / "3dsrbench" / "reasoning"
        evaluate(BENCHMARKS["3dsrbench"](), tmp_path / "3DSRBench.tsv", Scripted(lambda p: "A"), folder, settings, QUIET)
        told = [gain for gain in published_gains(read_runs([tmp_path / name])) if gain.benchmark == "3dsrbench"]
        assert len(told) == (3 if name == "whole" else 0)
    _, rows, notes = gains_table(read_runs([tmp_path / "whole"]))
    assert ["Spatial-SSRL-4B, What'sUp", "open"] in [[row[0], row[-1]] for row in rows]
    assert "taken for independent" in notes[0]
