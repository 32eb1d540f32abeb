"""The overview of a batch as one HTML page: a map, and a row a pair with its verdict, small pictures and a link to its
report."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from xmatch.report.drawing import jpeg
from xmatch.report.footprints import Footprint, footprint_map
from xmatch.report.numbers import number, percent, quantity
from xmatch.report.previews import Previews
from xmatch.report.templating import templates

THUMBNAIL_PX = 144
"""Longest side: a picture is some 5 kB then."""

STATES = {"trusted": "Trusted", "untrusted": "Not trusted", "failed": "Failed", "untried": "Not tried"}


@dataclass(frozen=True)
class Entry:
    """A pair of the list and how it ended."""

    index: int
    fixed: str
    moving: str
    line: Mapping[str, Any] | None
    """Its JSON document, or that of its failure; None when it was not tried."""
    report: Path | None = None
    """Its page, when there is one."""
    pictures: tuple[str, str] | None = None
    """`thumbnails`."""
    footprint: Footprint | None = None
    """Where it lies, if that is known."""

    @property
    def state(self) -> str:
        """A key of `STATES`."""
        if self.line is None:
            return "untried"
        return "failed" if "error" in self.line else "trusted" if self.line["ok"] else "untrusted"


def counted(entries: Sequence[Entry]) -> dict[str, int]:
    """State -> number of pairs, of the states that occur."""
    counts = {state: sum(entry.state == state for entry in entries) for state in STATES}
    return {state: count for state, count in counts.items() if count}


def thumbnails(previews: Previews) -> tuple[str, str]:
    """Fixed, and moving laid onto it (as it is in its file, without a transform), as data URIs."""
    if previews.moving_warped is None or previews.warped_valid is None:
        return _small(previews.fixed, previews.fixed_valid), _small(previews.moving, previews.moving_valid)
    return _small(previews.fixed, previews.fixed_valid), _small(previews.moving_warped, previews.warped_valid)


def render_overview(entries: Sequence[Entry], title: str, folder: Path) -> str:
    """The page, for a file in `folder`; links to reports are relative to that.

    Everything is inlined and the page forbids itself any request; every text is escaped.
    """
    environment = templates("xmatch.report", number=number, percent=percent, quantity=quantity, base=os.path.basename)
    page = environment.get_template("overview.html").render(
        title=title,
        states=STATES,
        counts=counted(entries),
        map=footprint_map([(entry.index, entry.footprint) for entry in entries if entry.footprint]),
        rows={entry.index: (entry, entry.report and _link(entry.report, folder)) for entry in entries},
    )
    return page.encode("utf-8", "replace").decode("utf-8")


def _small(picture: np.ndarray, valid: np.ndarray) -> str:
    import cv2

    factor = min(1.0, THUMBNAIL_PX / max(valid.shape))
    size = tuple(max(1, round(side * factor)) for side in valid.shape[::-1])
    smaller = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return jpeg(smaller, cv2.resize(valid.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0)


def _link(report: Path, folder: Path) -> str:
    return quote(os.fsencode(os.path.relpath(report, folder)))
