"""Lets processes that never call this package import torchvision beside a CPU torch; started by a .pth file.

`make test-verl` puts it into the environment's site-packages: Ray's workers import torchvision before anything of ours
could call `prepare_torch`. The preparation waits for the import itself, since torch takes seconds to load and Ray starts
many processes without it.
"""

import sys
from importlib.abc import MetaPathFinder


class BeforeTorchvision(MetaPathFinder):
    """Acts on the submodule whose import would fail, since torchvision itself is also looked for without being imported."""

    def find_spec(self, name, path=None, target=None):
        if name == "torchvision._meta_registrations":
            from spatial_ssrl.vlm import prepare_torch

            prepare_torch()
        return None


sys.meta_path.insert(0, BeforeTorchvision())
