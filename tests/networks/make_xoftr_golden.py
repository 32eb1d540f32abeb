"""What the authors' XoFTR finds with random weights between two random images: xoftr_golden.npz.

    git clone https://github.com/OnderT/XoFTR && pip install einops
    python tests/networks/make_xoftr_golden.py XoFTR

Their code is neither part of this repository nor needed to run the tests.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

import numpy as np
import torch

GOLDEN = Path(__file__).with_name("xoftr_golden.npz")
DIMS, HEADS, LAYERS = (32, 28, 32), (2, 1, 1), 1
THRESHOLD, FINE_THRESHOLD = 0.3, 0.1


def weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """The same for a name and shape everywhere; such that cells differ by what they have seen."""
    found = {}
    for name, shape in shapes.items():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        if len(shape) > 1:
            value = rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        elif name.endswith(("weight", "gamma", "running_var")):
            value = rng.uniform(0.5, 1.5, shape)
        else:
            value = rng.normal(size=shape) / 5
        if name.startswith("loftr_coarse") and name.endswith("norm2.weight"):
            value *= 6
        found[name] = torch.tensor(0) if name.endswith("num_batches_tracked") else torch.from_numpy(value).float()
    return found


def images() -> tuple[np.ndarray, np.ndarray]:
    """Of other sizes, the second inverted and shifted."""
    scene = np.random.default_rng(7).random((136, 176), np.float32)
    return scene[:96, :128].copy(), 1 - scene[6:94, 9:129]


def main(clone: str) -> None:
    sys.path.insert(0, clone)
    from src.xoftr import XoFTR

    fine = {"denser": False, "inference": True, "dsmax_temperature": 0.1, "thr": FINE_THRESHOLD,
            "mlp_hidden_dim_coef": 2, "nhead_fine_level": HEADS[0], "nhead_medium_level": HEADS[1]}  # fmt: skip
    coarse = {"d_model": DIMS[2], "nhead": HEADS[2], "layer_names": ["self", "cross"] * LAYERS, "attention": "linear"}
    matching = {"d_model": DIMS[2], "thr": THRESHOLD, "border_rm": 2, "dsmax_temperature": 0.1, "inference": True,
                "train_coarse_percent": 0.2, "train_pad_num_gt_min": 200}  # fmt: skip
    network = XoFTR(
        {
            "resnet": {"initial_dim": DIMS[0], "block_dims": list(DIMS)},
            "coarse": coarse,
            "match_coarse": matching,
            "fine": fine,
            "fine_window_size": 5,
            "medium_window_size": 3,
        }
    ).eval()
    state = weights({name: tuple(tensor.shape) for name, tensor in network.state_dict().items()})
    network.load_state_dict(dict(state))
    data = {f"image{number}": torch.from_numpy(one)[None, None] for number, one in enumerate(images())}
    with torch.inference_mode():
        network(data)
    found = {"fixed_xy": data["mkpts0_f"], "moving_xy": data["mkpts1_f"], "certainty": data["mconf_f"]}
    np.savez_compressed(
        GOLDEN, names=np.array(sorted(state)), **{name: tensor.numpy() for name, tensor in found.items()}
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
