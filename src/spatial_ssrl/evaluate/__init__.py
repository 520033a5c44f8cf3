"""Scores of a model, with intervals and the unparsed rate beside every figure."""

from spatial_ssrl.evaluate.pretext import evaluate, summarise
from spatial_ssrl.statistics import wilson

__all__ = ["evaluate", "summarise", "wilson"]
