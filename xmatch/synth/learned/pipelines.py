"""Loading a pipeline of `diffusers`."""

from __future__ import annotations

from typing import Any

import torch

from xmatch.errors import ModelError
from xmatch.io.weights.hub import extra_package
from xmatch.synth.learned.base import WeightsRequest


def load_pipeline(request: WeightsRequest, *kinds: type[Any]) -> Any:
    """The pipeline that the weights are made for, on its device, silent.

    Raises:
        ModelError: it is none of `kinds`.
    """
    # In half precision where that is fast: these networks were published for it.
    dtype = torch.float16 if torch.device(request.options.device).type == "cuda" else torch.float32
    pipeline: Any = extra_package("diffusers").DiffusionPipeline.from_pretrained(
        request.weights,
        local_files_only=request.local_files_only,
        use_safetensors=True,
        dtype=dtype,
        low_cpu_mem_usage=False,
    )
    if not isinstance(pipeline, kinds):
        known = " or ".join(kind.__name__ for kind in kinds)
        raise ModelError(
            f"{request.weights!r} holds a {type(pipeline).__name__}, not a {known}",
            hint="name other weights, or another learned modality",
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(request.options.device)
