"""What a user may ask of an adaptation."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from xmatch.adaptation.collect import PairRequest
from xmatch.adaptation.recipe import AdaptRecipe


@dataclass(frozen=True, kw_only=True)
class AdaptOptions:
    """What the command line says."""

    request: PairRequest
    output: Path
    recipe: AdaptRecipe | None = None
    """None: that of the network the weights belong to."""
    matcher: str = "xmatch-fields"
    weights: str | None = None
    companion_weights: str | None = None
    """Of the network that the weights' looks with, where there is one."""
    max_minutes: float | None = None
    """Training ends after this long, set-up included, and what it has reached is judged."""
    resume: bool = True
    device: str = "auto"
    threads: int | None = None
    overwrite: bool = False
    seed: int | None = None
    """In place of the recipe's."""
    begun: float = field(default_factory=time.monotonic)
    """When the command was started, on `time.monotonic`: loading torch takes a while too."""
