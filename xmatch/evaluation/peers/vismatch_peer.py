"""The matchers of vismatch (once image-matching-models), run by the Python of an environment of its own.

Its code, third parties' code in it, and some of its weights have terms of their own, "superpoint", "superglue" and
"minima" among them for research only; it fetches weights from the Hugging Face hub when it first needs them. Some of
its modules also read any pickle that they are given from then on: another reason for another process.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from pathlib import Path

import cv2

from xmatch.errors import UsageError
from xmatch.evaluation.peers.base import Found, PeerSettings
from xmatch.evaluation.peers.fitting import explained_shrunk
from xmatch.evaluation.peers.images import flat_reason, read_shrunk
from xmatch.evaluation.peers.program import PLACES, run_program
from xmatch.geometry import Linear

LONGEST_PX = 840
"""Longer side of the images that it is given, as for kornia's networks; many of its matchers resize them again."""
SCRIPT = Path(__file__).with_name("vismatch_script.py")


class Vismatch:
    """The matcher of vismatch that the settings name as `model`; there is no default."""

    name = "vismatch"

    def check(self, settings: PeerSettings) -> None:
        """Raises UsageError when no Python or no matcher is named."""
        if not settings.python:
            raise UsageError(
                "the peer `vismatch` needs the Python of an environment with vismatch",
                hint="python: /path/to/environment/bin/python",
            )
        if not settings.model:
            raise UsageError(
                "the peer `vismatch` needs the name of one of its matchers",
                hint="model: loftr, disk-lightglue, minima-roma, ... (vismatch.available_models)",
            )

    def __call__(self, fixed: Path, moving: Path, settings: PeerSettings) -> Found:
        self.check(settings)
        here, there = (read_shrunk(path, LONGEST_PX) for path in (fixed, moving))
        if reason := flat_reason(here.full, there.full):
            return Found(None, reason)
        with tempfile.TemporaryDirectory() as folder:
            images = Path(folder) / "fixed.png", Path(folder) / "moving.png"
            for image, one in zip(images, (here, there), strict=True):
                image.write_bytes(cv2.imencode(".png", one.rgb[..., ::-1])[1].tobytes())
            python, model = settings.python or "", settings.model or ""  # `check` has seen that both are there
            words = [python, os.fspath(SCRIPT), *PLACES, model, settings.device, str(settings.seed)]
            as_written = dataclasses.replace(settings, output_suffix=".csv", pixel_origin="corner")
            answer = run_program(words, *images, as_written)
        if isinstance(answer, Found):
            return answer
        if isinstance(answer, Linear):
            return Found(answer)
        return explained_shrunk(answer, here, there, settings)
