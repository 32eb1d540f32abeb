"""Sources of scenes. Each gives two images of a scene as two sensors see it, and says which px belong together."""

from __future__ import annotations

from xmatch.synth.sources.aligned import Aligned, PairSource
from xmatch.synth.sources.aligned_pairs import AlignedPairs
from xmatch.synth.sources.files import Images
from xmatch.synth.sources.keypoints import Keypoints
from xmatch.synth.sources.multiview import MultiView
from xmatch.synth.sources.pictures import Pictures
from xmatch.synth.sources.sensors import Sensors
from xmatch.synth.sources.shapes import Shapes
from xmatch.synth.sources.singles import Singles
from xmatch.synth.sources.stored import Shards
from xmatch.synth.sources.things import Things
from xmatch.synth.sources.video import Videos
from xmatch.synth.sources.worlds import Worlds

__all__ = [
    "Aligned",
    "AlignedPairs",
    "Images",
    "Keypoints",
    "MultiView",
    "Pictures",
    "Sensors",
    "Shapes",
    "Shards",
    "Singles",
    "PairSource",
    "Things",
    "Videos",
    "Worlds",
]
