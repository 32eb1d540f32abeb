"""From one stream of random numbers to another.

Pixels are drawn on the device. What a handful of numbers decides (which files, which sensors, which turn) is drawn on
the host, so that no decision waits for the device; one number links the two.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def host_rng(rng: torch.Generator) -> np.random.Generator:
    """A generator on the host, seeded by the next number of `rng`; on a GPU by its place in the stream: no wait."""
    if rng.device.type == "cuda":
        place = rng.get_offset()
        rng.set_offset(place + 4)  # in steps of four, as the generator counts
        return np.random.default_rng((rng.initial_seed(), place))
    seed = torch.randint(0, 2**62, (1,), generator=rng, device=rng.device)
    return np.random.default_rng(int(seed))


def device_rng(device: torch.device | str, *seed: int) -> torch.Generator:
    """A generator on `device`; different numbers in `seed` give independent streams."""
    state = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state >> np.uint64(1)))


def uploaded(values: np.ndarray, device: torch.device | str, dtype: torch.dtype = torch.float32) -> Tensor:
    """A few numbers of the host on the device, without waiting for what the device is doing."""
    return torch.as_tensor(values, dtype=dtype).to(device, non_blocking=True)
