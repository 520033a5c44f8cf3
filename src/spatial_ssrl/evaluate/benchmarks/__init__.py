"""The benchmarks, one file each."""

from spatial_ssrl.evaluate.benchmark import Benchmark
from spatial_ssrl.evaluate.benchmarks.blink import Blink
from spatial_ssrl.evaluate.benchmarks.chartqa import ChartQA
from spatial_ssrl.evaluate.benchmarks.hallusionbench import HallusionBench
from spatial_ssrl.evaluate.benchmarks.mmbench import MMBench
from spatial_ssrl.evaluate.benchmarks.ocrbench import OCRBench
from spatial_ssrl.evaluate.benchmarks.pretext import Pretext
from spatial_ssrl.evaluate.benchmarks.qspatial import QSpatialPlus
from spatial_ssrl.evaluate.benchmarks.realworldqa import RealWorldQA
from spatial_ssrl.evaluate.benchmarks.seedbench2plus import SeedBench2Plus
from spatial_ssrl.evaluate.benchmarks.spatial457 import Spatial457
from spatial_ssrl.evaluate.benchmarks.spatialeval import SpatialEval
from spatial_ssrl.evaluate.benchmarks.threedsrbench import ThreeDSRBench
from spatial_ssrl.evaluate.benchmarks.viewspatial import ViewSpatial
from spatial_ssrl.evaluate.benchmarks.vsibench import VSIBench
from spatial_ssrl.evaluate.benchmarks.whatsup import WhatsUp

SPATIAL: tuple[type[Benchmark], ...] = (
    Spatial457,
    ThreeDSRBench,
    SpatialEval,
    QSpatialPlus,
    WhatsUp,
    ViewSpatial,
    VSIBench,
)
"""In the order of the paper's table."""
GENERAL: tuple[type[Benchmark], ...] = (MMBench, Blink, HallusionBench, RealWorldQA, OCRBench, ChartQA, SeedBench2Plus)

ALL: tuple[type[Benchmark], ...] = (*SPATIAL, *GENERAL, Pretext)

BENCHMARKS: dict[str, type[Benchmark]] = {kind.name: kind for kind in ALL}
