"""The sensors that look at land and towns, by name."""

from __future__ import annotations

from functools import partial

from xmatch.synth.worlds.chart import street_map
from xmatch.synth.worlds.ground import COUNTRY, REGION, TOWN, make_ground
from xmatch.synth.worlds.radar import sar
from xmatch.synth.worlds.relief import depth
from xmatch.synth.worlds.thermal import infrared
from xmatch.synth.worlds.visible import near_infrared, night, optical, optical_later

country, town, region = (partial(make_ground, profile) for profile in (COUNTRY, TOWN, REGION))

SENSORS = {
    "optical": optical,
    "optical-later": optical_later,
    "nir": near_infrared,
    "infrared": infrared,
    "sar": sar,
    "map": street_map,
    "depth": depth,
    "night": night,
}
"""Name -> (ground, rng) -> (B, 1, H, W), about [0, 1]."""

FROM_SPACE = {name: SENSORS[name] for name in ("optical", "optical-later", "nir", "infrared", "sar", "map")}
