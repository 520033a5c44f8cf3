"""Scores of models on benchmarks, with intervals, and the unparsed rate beside every figure."""

from spatial_ssrl.evaluate.benchmark import Benchmark
from spatial_ssrl.evaluate.benchmarks import BENCHMARKS, GENERAL, SPATIAL
from spatial_ssrl.evaluate.question import Question, Verdict
from spatial_ssrl.evaluate.results import Results
from spatial_ssrl.evaluate.run import Settings, evaluate

__all__ = ["BENCHMARKS", "GENERAL", "SPATIAL", "Benchmark", "Question", "Results", "Settings", "Verdict", "evaluate"]
