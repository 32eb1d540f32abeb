"""Features on disk, one file an image and part: found again by what the image shows and how they were made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xmatch.io.writing.atomic import atomic_write


class FeatureCache:
    """A folder of safetensors files, made where it is missing. A damaged file counts as none.

    Features are stored in half precision: half the room, and a thousandth of their size off.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    def path(self, image: Tensor, settings: Mapping[str, Any]) -> Path:
        """Where the feature of an image (3, H, W) lies, whether it is there or not."""
        key = sha256(json.dumps({**settings, "shape": list(image.shape)}, sort_keys=True).encode())
        key.update(image.detach().cpu().contiguous().numpy().tobytes())
        return self._folder / f"{key.hexdigest()[:40]}.safetensors"

    def get(self, image: Tensor, settings: Mapping[str, Any]) -> Tensor | None:
        """(C, h, w) float32 on the image's device."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            feature = load_file(self.path(image, settings))["feature"]
        except (FileNotFoundError, KeyError, SafetensorError):
            return None
        return feature.to(image.device, torch.float32)

    def put(self, image: Tensor, settings: Mapping[str, Any], feature: Tensor) -> None:
        """
        Raises:
            OutputError: it cannot be written.
        """
        from safetensors.torch import save_file

        self._folder.mkdir(parents=True, exist_ok=True)
        told = {"settings": json.dumps(dict(settings), sort_keys=True)}
        with atomic_write(self.path(image, settings), overwrite=True) as temporary:
            save_file({"feature": feature.detach().to("cpu", torch.float16).contiguous()}, temporary, metadata=told)


def fingerprint(networks: Iterable[nn.Module]) -> str:
    """What tells weights from others: of every tensor its name, shape and first numbers."""
    digest = sha256()
    for network in networks:
        for name, tensor in sorted(network.state_dict().items()):
            first = tensor.flatten()[:16].detach().to("cpu", torch.float32)
            digest.update(f"{name} {tuple(tensor.shape)} {first.tolist()}".encode())
    return digest.hexdigest()[:16]
