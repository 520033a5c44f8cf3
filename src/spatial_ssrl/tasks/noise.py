"""How far a depth reading may be off.

Convention: noise is a standard deviation, in the unit of the depth, independent from reading to reading.

    metre      0.0012 + 0.0019 (z - 0.4)^2, axial noise of a Kinect v1 that faces a surface (Nguyen, Izadi and
               Lovell 2012, "Modeling Kinect Sensor Noise for Improved 3D Reconstruction and Tracking"). Laser
               scanners are better, far away much better: for them it errs on the safe side.
    relative   0.01 z, an assumption: such depth comes from reconstructions that state no error
"""

import numpy as np
from jaxtyping import Float32

from spatial_ssrl.scene import DepthUnit

RELATIVE = 0.01


def noise_of(depth: Float32[np.ndarray, "*shape"], unit: DepthUnit) -> Float32[np.ndarray, "*shape"]:
    """Standard deviation of readings of these depths."""
    if unit == "relative":
        return np.float32(RELATIVE) * depth
    return np.float32(0.0012) + np.float32(0.0019) * (depth - np.float32(0.4)) ** 2


def steps_in_noise(
    near: Float32[np.ndarray, "*#shape"], far: Float32[np.ndarray, "*#shape"], unit: DepthUnit
) -> Float32[np.ndarray, "..."]:
    """By how many standard deviations of the noise of both `far` lies behind `near`."""
    return (far - near) / np.hypot(noise_of(near, unit), noise_of(far, unit))
