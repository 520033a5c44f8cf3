"""`transformers serve` with what this machine has: python serve.py MODEL PORT.

A torchvision that was built for another torch lacks its codecs; pictures are then decoded by Pillow.
"""

import io
import sys

import numpy as np
from PIL import Image

from spatial_ssrl import vlm


def decode(data, *_, **__):
    import torch

    picture = Image.open(io.BytesIO(data.numpy().tobytes())).convert("RGB")
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def main(model, port):
    vlm.prepare_torch()
    import torchvision
    from transformers.cli.transformers import main as transformers

    if not torchvision.extension._has_ops():
        torchvision.io.decode_image = decode
    sys.argv = ["transformers", "serve", model, "--port", port, "--device", "cpu", "--dtype", "float32"]
    transformers()


if __name__ == "__main__":
    main(*sys.argv[1:])
