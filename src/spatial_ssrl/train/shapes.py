"""The shapes of the models that presets are shipped for, so that a run can be estimated before its model is at hand."""

from spatial_ssrl.train.estimate import Shape

SHAPES = {
    "qwen2.5-vl-3b": Shape(
        parameters=3_754_622_976,
        linear_parameters=3_441_197_056,
        linear_widths=2_585_216,
        layers=36,
        hidden=2048,
        intermediate=11_008,
        query_width=2048,
        vocabulary=151_936,
        key_width=256,
        token_side=28,
        vision_layers=32,
        vision_hidden=1280,
        vision_intermediate=3420,
    ),
    "qwen3-vl-4b": Shape(
        parameters=4_437_815_808,
        linear_parameters=4_044_357_632,
        linear_widths=2_516_992,
        layers=36,
        hidden=2560,
        intermediate=9_728,
        query_width=4096,
        vocabulary=151_936,
        key_width=1024,
        token_side=32,
        vision_layers=24,
        vision_hidden=1024,
        vision_intermediate=2048,
    ),
    "qwen2.5-vl-7b": Shape(
        parameters=8_292_166_656,
        linear_parameters=7_199_817_728,
        linear_widths=3_239_040,
        layers=28,
        hidden=3584,
        intermediate=18_944,
        query_width=3584,
        vocabulary=152_064,
        key_width=512,
        token_side=28,
        vision_layers=32,
        vision_hidden=1280,
        vision_intermediate=3420,
    ),
}
"""By the names of their presets; `tests/train/test_plan.py` counts them again from the models' configurations."""
