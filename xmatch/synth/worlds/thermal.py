"""Land and towns by their own heat: temperature has little to do with brightness."""

from __future__ import annotations

import torch
from torch import Tensor

from xmatch.synth.modalities.draws import blobs, chance, direction, uniform
from xmatch.synth.modalities.filters import widely_blurred
from xmatch.synth.worlds.film import exposed
from xmatch.synth.worlds.ground import THINGS, Ground
from xmatch.synth.worlds.light import lit_slopes, shadow
from xmatch.synth.worlds.patterns import of, table
from xmatch.synth.worlds.surfaces import Surface, by_surface


def infrared(ground: Ground, rng: torch.Generator) -> Tensor:
    """Temperature by surface and thing, little texture, soft; often faint; black or white for hot."""
    like = ground.temperature
    # The hour redraws what is warm: surfaces keep a part of their usual temperature.
    hour = table(like, rng, len(Surface)) - 0.5
    own = uniform(like, rng, 0.2, 1.0)
    warm = own * ground.temperature + uniform(like, rng, 0.2, 0.9) * of(ground.label, hour)
    single = of(ground.part, table(like, rng, THINGS))
    spread = of(ground.label, by_surface("spread", like.device).expand(len(like), -1))
    warm = warm + uniform(like, rng, 0.0, 0.7) * spread * (single - 0.5)
    # Some surfaces cannot be told from what is around them.
    plain = widely_blurred(warm, uniform(like, rng, 5.0, 10.0))
    fades = of(ground.label, (table(like, rng, len(Surface)) < 0.12).float())
    warm = warm + uniform(like, rng, 0.5, 1.0) * fades * (plain - warm)
    hot = (single > 0.93).float() * (ground.label % len(Surface) >= int(Surface.ROOF)).float()
    warm = warm + uniform(like, rng, -0.3, 0.8) * hot
    cos, sin = direction(like, rng)
    sunny = chance(like, rng, 0.7) * uniform(like, rng, 0.0, 0.4)
    warm = warm + sunny * (lit_slopes(ground.height, cos, sin, uniform(like, rng, 0.7, 2.0)) - 1)
    warm = warm - sunny * shadow(ground.height, cos, sin, uniform(like, rng, 0.7, 2.0))
    warm = warm + uniform(like, rng, -0.06, 0.1) * ground.grain + uniform(like, rng, 0.0, 0.15) * ground.blotch
    warm = warm + uniform(like, rng, 0.0, 0.15) * blobs(like, rng, 4)
    return exposed(_either_way(warm, rng), rng, blur_px=(0.4, 2.0), noise=0.06, contrast=(0.15, 1.0))


def _either_way(image: Tensor, rng: torch.Generator) -> Tensor:
    """White for black in a third of the images."""
    return image * (1 - 2 * chance(image, rng, 0.33))
