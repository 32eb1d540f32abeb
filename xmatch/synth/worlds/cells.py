"""Stained sections: nuclei, membranes, glands and fibres, and what each stain and each light brings out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xmatch.synth.modalities.draws import blobs, chance, clutter, log_uniform, uniform, white
from xmatch.synth.modalities.filters import blurred, slopes
from xmatch.synth.worlds import places
from xmatch.synth.worlds.places import of_number, plane, table


@dataclass(frozen=True, eq=False)
class Section:
    """Layers of B sections, (B, 1, H, W) each; masks in [0, 1]."""

    cell: Tensor
    """Number of the cell."""
    nucleus: Tensor
    membrane: Tensor
    gland: Tensor
    """Walls of glands."""
    hollow: Tensor
    """Inside of glands, and tears: nothing there."""
    fibre: Tensor
    """Unit variance."""


def make_section(count: int, size: int, rng: torch.Generator) -> Section:
    like = torch.zeros((count, 1, size, size), device=rng.device)
    place = plane(like, rng, 0.03)
    fine, coarse = log_uniform(like, rng, 12.0, 40.0), log_uniform(like, rng, 2.0, 6.0)
    cell, border = places.cells(place, fine, rng)
    part, wall = places.cells(place, coarse, rng)
    # Cells along a gland's wall hold the large nuclei; in between they are scarce.
    open_ = (of_number(part, table(like, rng)) < uniform(like, rng, 0.1, 0.7)).float()
    hollow = (20 * (wall - uniform(like, rng, 0.15, 0.4))).clamp(0.0, 1.0) * open_
    gland = torch.exp(-(((wall - 0.08) / 0.05) ** 2)) * open_
    grown = 0.12 + 0.3 * of_number(cell, table(like, rng))
    present = (of_number(cell, table(like, rng)) < uniform(like, rng, 0.3, 0.95)).float()
    nucleus = (12 * (border - grown + 0.12)).clamp(0.0, 1.0) * present * (1 - hollow)
    membrane = torch.exp(-((border / 0.05) ** 2)) * (1 - hollow)
    fibre = clutter(like, rng, 0.6, 2.5) + 0.7 * blobs(like, rng, 8)
    return Section(cell, nucleus, membrane, gland, hollow, fibre)


def stained(section: Section, rng: torch.Generator) -> Tensor:
    """Haematoxylin and eosin in transmitted light, as grey: nuclei dark, fibres pink, hollows white."""
    return _absorbed(section, rng, nucleus=(0.6, 1.6), membrane=(0.0, 0.4), gland=(0.0, 0.5), fibre=(0.05, 0.25))


def labelled(section: Section, rng: torch.Generator) -> Tensor:
    """Immunohistochemistry: one kind of cell or the glands brown, the rest pale."""
    like = section.nucleus
    chosen = (of_number(section.cell, table(like, rng)) < uniform(like, rng, 0.1, 0.6)).float()
    brown = chosen * (section.membrane + 0.5 * section.nucleus) * uniform(like, rng, 0.4, 1.2)
    pale = _absorbed(section, rng, nucleus=(0.1, 0.6), membrane=(0.0, 0.2), gland=(0.0, 1.2), fibre=(0.0, 0.1))
    return pale * torch.exp(-brown)


def fluorescent(section: Section, rng: torch.Generator) -> Tensor:
    """Nuclei or membranes shine on black."""
    like = section.nucleus
    either = uniform(like, rng, 0.0, 1.0)
    bright = of_number(section.cell, table(like, rng))
    light = either * section.nucleus * (0.3 + bright) + (1 - either) * (section.membrane + section.gland)
    glow = light + 0.3 * blurred(light, uniform(like, rng, 2.0, 4.0), 10) + 0.03 * section.fibre.abs()
    seen = glow * uniform(like, rng, 0.3, 1.0)
    return seen + uniform(like, rng, 0.005, 0.04) * white(like, rng)


def dark_field(section: Section, rng: torch.Generator) -> Tensor:
    """Edges scatter light, everything else stays dark; or, in phase contrast, on grey."""
    like = section.nucleus
    x, y = slopes(section.nucleus + 0.5 * section.membrane + section.hollow + 0.05 * section.fibre)
    edge = (x.square() + y.square()).sqrt() * uniform(like, rng, 1.0, 3.0)
    relief = 0.5 + uniform(like, rng, -1.5, 1.5) * (x + y)
    pick = chance(like, rng, 0.5)
    return pick * edge + (1 - pick) * relief + uniform(like, rng, 0.005, 0.03) * white(like, rng)


SENSORS = {"he": stained, "ihc": labelled, "fluorescence": fluorescent, "dark-field": dark_field}
"""Name -> (section, rng) -> (B, 1, H, W), about [0, 1]."""


def _absorbed(section: Section, rng: torch.Generator, *, nucleus, membrane, gland, fibre) -> Tensor:
    """Transmitted light after Beer and Lambert: densities add up."""
    like = section.nucleus
    own = 0.6 + 0.8 * of_number(section.cell, table(like, rng))
    density = uniform(like, rng, 0.1, 0.5) + uniform(like, rng, *fibre) * section.fibre
    density = density * (1 - section.hollow) + uniform(like, rng, *nucleus) * own * section.nucleus
    density = density + uniform(like, rng, *membrane) * section.membrane + uniform(like, rng, *gland) * section.gland
    return 0.95 * torch.exp(-density.clamp_min(0.0)) + 0.01 * white(like, rng)
