"""Stained sections: nuclei, membranes, glands and fibres, and what each stain and each light brings out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xmatch.synth.modalities.draws import blobs, chance, clutter, log_uniform, patches, uniform, white
from xmatch.synth.modalities.filters import blurred, grown, shrunk, slopes, widely_blurred
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
    stroma: Tensor
    """Between glands: few cells, many fibres."""
    fibre: Tensor
    """Bundles of fibres that run one way, in [-1, 1]."""
    grain: Tensor
    """Fine texture of unit variance: chromatin, granules."""


def make_section(count: int, size: int, rng: torch.Generator) -> Section:
    like = torch.zeros((count, 1, size, size), device=rng.device)
    place = plane(like, rng, 0.03)
    fine = log_uniform(like, rng, 12.0, 44.0)
    cell, border = places.cells(place, fine, rng)
    stroma = patches(like, rng, 0.1, 0.7)
    gland, hollow = _glands(like, rng)
    # Cells crowd along the walls of glands; in the stroma they are scarce.
    crowd = uniform(like, rng, 0.3, 0.95) * (1 - uniform(like, rng, 0.3, 0.9) * stroma) + 0.6 * gland
    present = (of_number(cell, table(like, rng)) < crowd).float()
    core = (border > 0.05 + 0.3 * of_number(cell, table(like, rng))).float() * present
    nucleus = _rounded(core, size / fine) * (1 - hollow)
    px = fine / size
    membrane = (1.5 - (border - uniform(like, rng, 0.0, 0.03)).clamp_min(0.0) / px).clamp(0.0, 1.0) * (1 - hollow)
    return Section(cell, nucleus, membrane, gland, hollow, stroma, _fibres(like, rng), clutter(like, rng, 0.5, 1.5))


def _glands(like: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Walls and hollows: some large cells of the plane are open inside. At half the size, as they are soft."""
    small = shrunk(like, 2)
    part, wall = places.cells(plane(small, rng, 0.05), log_uniform(small, rng, 1.5, 6.0), rng)
    open_ = (of_number(part, table(small, rng)) < uniform(small, rng, 0.1, 0.7)).float()
    rim = uniform(small, rng, 0.05, 0.2)
    deep = wall + 0.04 * blobs(small, rng, 10) - rim - 0.25 * of_number(part, table(small, rng))
    soft = blurred((deep > 0).float() * open_, uniform(small, rng, 1.0, 3.0), 8)
    hollow = (4 * (soft - 0.5) + 0.5).clamp(0.0, 1.0)
    around = widely_blurred(hollow, uniform(small, rng, 4.0, 8.0)) * (1 - hollow)
    return grown((2.5 * around).clamp(0.0, 1.0), like), grown(hollow, like)


def _rounded(core: Tensor, cell_px: Tensor) -> Tensor:
    """Polygons made round, by a blur as wide as a seventh of a cell and a cut."""
    soft = blurred(core, 0.14 * cell_px, 10)
    return (cell_px / 4 * (soft - 0.5) + 0.5).clamp(0.0, 1.0)


def _fibres(like: Tensor, rng: torch.Generator) -> Tensor:
    """Waves of a smooth field: strands side by side, that part, bend and meet."""
    strands = log_uniform(like, rng, 8.0, 40.0)
    cos, sin = (uniform(like, rng, -1.0, 1.0) for _ in range(2))
    x, y = plane(like, rng, 0.06).split(1, 1)
    phase = strands * (cos * x + sin * y) + uniform(like, rng, 0.2, 0.8) * blobs(like, rng, 20)
    return torch.sin(6.28 * phase) * (0.5 + 0.5 * blobs(like, rng, 12)).clamp(0.0, 1.0)


def stained(section: Section, rng: torch.Generator) -> Tensor:
    """Haematoxylin and eosin in transmitted light, as grey: nuclei dark, fibres pink, hollows white."""
    return _absorbed(section, rng, nucleus=(0.5, 1.6), membrane=(0.0, 0.25), gland=(0.0, 0.5), fibre=(0.05, 0.5))


def labelled(section: Section, rng: torch.Generator) -> Tensor:
    """Immunohistochemistry: one kind of cell or the glands brown, the rest pale."""
    like = section.nucleus
    chosen = (of_number(section.cell, table(like, rng)) < uniform(like, rng, 0.1, 0.6)).float()
    where = uniform(like, rng, 0.0, 1.0)
    brown = chosen * (where * section.membrane + (1 - where) * section.nucleus) * uniform(like, rng, 0.5, 1.6)
    pale = _absorbed(section, rng, nucleus=(0.1, 0.7), membrane=(0.0, 0.2), gland=(0.0, 1.2), fibre=(0.0, 0.2))
    return pale * torch.exp(-blurred(brown, uniform(like, rng, 0.3, 1.5), 5))


def fluorescent(section: Section, rng: torch.Generator) -> Tensor:
    """Nuclei, or membranes and walls of glands, shine on black; out of focus here and there."""
    like = section.nucleus
    either = chance(like, rng, 0.6) * uniform(like, rng, 0.7, 1.0) + uniform(like, rng, 0.0, 0.3)
    bright = of_number(section.cell, table(like, rng))
    nuclei = section.nucleus * (0.3 + bright) * (1 + 0.15 * section.grain)
    light = either * nuclei + (1 - either).clamp_min(0.0) * (section.membrane + 0.5 * section.gland)
    near = blurred(light, uniform(like, rng, 0.3, 1.5), 5)
    glow = widely_blurred(light, uniform(like, rng, 4.0, 9.0))
    seen = near + uniform(like, rng, 0.1, 0.6) * glow + uniform(like, rng, 0.0, 0.1) * section.stroma
    seen = seen * uniform(like, rng, 0.4, 1.1) * (1 + 0.15 * blobs(like, rng, 2))
    return seen + uniform(like, rng, 0.005, 0.04) * white(like, rng)


def dark_field(section: Section, rng: torch.Generator) -> Tensor:
    """Edges scatter light, everything else stays dark; or, in phase contrast, relief on grey."""
    like = section.nucleus
    thick = section.nucleus * (1 + 0.1 * section.grain) + 0.4 * section.membrane + section.hollow
    thick = thick + uniform(like, rng, 0.0, 0.2) * section.fibre * section.stroma
    x, y = slopes(blurred(thick, uniform(like, rng, 0.4, 1.2), 4))
    edge = (x.square() + y.square()).sqrt() * uniform(like, rng, 1.5, 4.0)
    relief = 0.5 + uniform(like, rng, -2.0, 2.0) * x + uniform(like, rng, -2.0, 2.0) * y
    pick = chance(like, rng, 0.5)
    return pick * edge + (1 - pick) * relief + uniform(like, rng, 0.005, 0.03) * white(like, rng)


SENSORS = {
    "he": stained,
    "ihc": labelled,
    "fluorescence": fluorescent,
    "dark-field": dark_field,
}
"""Name -> (section, rng) -> (B, 1, H, W), about [0, 1]."""


def _absorbed(section: Section, rng: torch.Generator, *, nucleus, membrane, gland, fibre) -> Tensor:
    """Transmitted light after Beer and Lambert: densities add up; the focus is never perfect."""
    like = section.nucleus
    own = (0.6 + 0.8 * of_number(section.cell, table(like, rng))) * (1 + uniform(like, rng, 0.0, 0.2) * section.grain)
    strands = uniform(like, rng, *fibre) * section.fibre * (0.3 + 0.7 * section.stroma)
    ground = uniform(like, rng, 0.15, 0.5) + uniform(like, rng, -0.15, 0.3) * section.stroma + strands
    ground = ground + uniform(like, rng, 0.0, 0.05) * section.grain
    density = ground.clamp_min(0.02) * (1 - section.hollow) + uniform(like, rng, *nucleus) * own * section.nucleus
    density = density + uniform(like, rng, *membrane) * section.membrane + uniform(like, rng, *gland) * section.gland
    passed = blurred(torch.exp(-density), uniform(like, rng, 0.3, 1.4), 5)
    shading = 0.95 + uniform(like, rng, 0.0, 0.05) * blobs(like, rng, 2)
    return shading * passed + uniform(like, rng, 0.0, 0.02) * white(like, rng)
