"""Matches of a dense warp, drawn so that they spread over the images (Edstedt et al. 2023, "threshold_balanced").

As the authors have it, every match that is at all sure may be drawn, so that any two images have some: how many there
are says nothing of whether images show the same.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xmatch.coords import Mask
from xmatch.correspondences import Correspondences
from xmatch.geometry.masked import on_valid
from xmatch.networks.base import DenseWarp
from xmatch.networks.grids import cell_centres

ENOUGH = 0.05
"""Certainty from which on all matches are drawn alike."""
MORE = 4
"""Times as many are drawn first, of which the spread ones stay."""
REACH = 0.1
"""Standard deviation of the kernel by which neighbours are counted, in normalised positions of both images."""
AMONG = 8
"""Neighbours are counted among every so many matches, and count for so many: that is an eighth of the work."""
LEAST_NEIGHBOURS, ALONE = 10, 1e-7
"""Matches with fewer neighbours are likely wrong, and are drawn so rarely."""
_ROWS = 2048
"""Distances are made for so many matches at once."""


def drawn(
    there: DenseWarp,
    back: DenseWarp | None,
    fixed_valid: Mask,
    moving_valid: Mask,
    count: int,
    *,
    seed: int = 0,
) -> Correspondences:
    """At most `count` matches on valid pixels, in px of the images, with their own certainty.

    Args:
        there: where each cell of fixed lies in moving; a batch of one.
        back: where each cell of moving lies in fixed; None: nobody asked.
        fixed_valid: (h, w) of the images as given, whatever the size of the warps.
        seed: of the draw; the same seed draws the same.
    """
    pairs = [torch.cat([_centres(there), there.warp[0].flatten(0, 1)], -1)]
    sure = [there.certainty[0].flatten()]
    if back is not None:
        pairs.append(torch.cat([back.warp[0].flatten(0, 1), _centres(back)], -1))
        sure.append(back.certainty[0].flatten())
    matches, certainty = torch.cat(pairs).float().cpu(), torch.cat(sure).float().sigmoid().cpu()
    sides = [(valid.shape[1], valid.shape[0]) for valid in (fixed_valid, moving_valid)]
    xy = ((matches.double() + 1) / 2 * torch.tensor([*sides[0], *sides[1]])).numpy()
    usable = on_valid(fixed_valid, xy[:, :2]) & on_valid(moving_valid, xy[:, 2:])
    kept = torch.from_numpy(usable).nonzero()[:, 0]
    some = spread(matches[kept], certainty[kept], count, seed=seed, device=there.warp.device)
    chosen = kept[some].numpy()
    return Correspondences(xy[chosen, :2], xy[chosen, 2:], certainty[torch.from_numpy(chosen)].double().numpy())


def spread(
    matches: Tensor,
    certainty: Tensor,
    count: int,
    *,
    seed: int = 0,
    device: torch.device = torch.device("cpu"),
) -> Tensor:
    """Indices of at most `count` matches, all on the CPU, so that any device draws the same.

    Args:
        matches: (N, 4) normalised positions in both images.
        certainty: (N,) in [0, 1].
        device: where neighbours are counted.
    """
    generator = torch.Generator().manual_seed(seed)
    likely = torch.where(certainty > ENOUGH, 1.0, certainty)
    first = _few(likely, MORE * count, generator)
    density = neighbours(matches[first].to(device)).cpu()
    rarity = torch.where(density < LEAST_NEIGHBOURS, ALONE, 1 / (density + 1))
    return first[_few(rarity, count, generator)]


def neighbours(matches: Tensor) -> Tensor:
    """(N,) about how many matches lie near each, by a Gaussian kernel."""
    scaled, among = matches / REACH, matches[::AMONG] / REACH
    half_square = among.square().sum(1) / 2
    found = []
    for start in range(0, len(scaled), _ROWS):
        rows = scaled[start : start + _ROWS]
        exponent = torch.addmm(-half_square - rows.square().sum(1, keepdim=True) / 2, rows, among.T)
        # Below that, exp is many times slower on a CPU, and adds nothing.
        found.append(AMONG * exponent.clamp_(min=-80.0).exp_().sum(1))
    return torch.cat(found) if found else matches.new_zeros(0)


def _few(weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices drawn without replacement among those that have any weight."""
    possible = (weights > 0).nonzero()[:, 0]
    if len(possible) <= count:
        return possible
    return possible[torch.multinomial(weights[possible], count, generator=generator)]


def _centres(found: DenseWarp) -> Tensor:
    return cell_centres(found.warp.shape[1], found.warp.shape[2], found.warp).flatten(0, 1)
