"""What a group of images leaves behind: one JSON document, and a page with the graph of its pairs."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import quote

from xmatch.io.json_values import json_ready
from xmatch.report.document import transform_part
from xmatch.report.numbers import number, percent, quantity
from xmatch.report.templating import templates
from xmatch.result import GroupRegistration, PairInGroup, Registration

SCHEMA = "xmatch.align/1"
"""Changes with any change of a name or a meaning in the document."""

STATES = {
    "used": "used",
    "disagrees": "contradicted by loops, left out",
    "disputed": "it or another is wrong, left out",
    "apart": "leads nowhere",
    "refused": "not trusted",
    "failed": "cannot be registered",
}
"""State of a pair -> how the page says it."""
SHOWN_LOOPS = 40
"""Of the page: the worst ones. The JSON has all."""
LABELLED_PAIRS = 30
"""With more, numbers at the lines of the drawing would cover each other: they say them on pointing only."""
_SIZE, _RADIUS, _NODE = 440.0, 170.0, 15.0
"""Of the drawing: its side, that of the circle of images, that of one of them."""


class GroupImagePart(TypedDict):
    index: int
    path: str
    output: str | None
    report: str | None
    """Its own page; a JSON that `xmatch apply` takes lies beside it."""
    verdict: Mapping[str, Any]
    transform: Mapping[str, Any] | None


class GroupPairPart(TypedDict):
    fixed: int
    moving: int
    state: str
    reason: str
    accepted: bool
    probability: float | None
    ce90_px: float | None
    off_px: float | None
    in_loop: bool
    transform: Mapping[str, Any] | None


class GroupLoopPart(TypedDict):
    images: list[int]
    off_px: float


class GroupDocument(TypedDict):
    """What `xmatch align` says (docs/formats.md)."""

    schema: str
    ok: bool
    reference: int
    images: list[GroupImagePart]
    pairs: list[GroupPairPart]
    loops: list[GroupLoopPart]
    files: list[str]
    seconds: dict[str, float]
    notes: list[str]
    provenance: dict[str, Any]


def group_document(
    group: GroupRegistration,
    outputs: Sequence[str | None],
    reports: Sequence[str | None],
    files: Sequence[str | os.PathLike[str]],
    notes: Sequence[str] = (),
) -> GroupDocument:
    """
    Args:
        outputs: the raster of each image that was written, or None.
        reports: the page of each image, or None.
        files: everything that was written.
    """
    images = [
        _image(index, registration, output, report)
        for index, (registration, output, report) in enumerate(zip(group.images, outputs, reports, strict=True))
    ]
    document: GroupDocument = json_ready(
        {
            "schema": SCHEMA,
            "ok": group.is_trusted,
            "reference": group.reference,
            "images": images,
            "pairs": [_pair(pair) for pair in group.pairs],
            "loops": [{"images": list(loop.images), "off_px": loop.off_px} for loop in group.loops],
            "files": [os.fspath(path) for path in files],
            "seconds": group.seconds,
            "notes": list(notes),
            "provenance": group.provenance,
        }
    )
    return document


def _image(index: int, registration: Registration, output: str | None, report: str | None) -> dict[str, Any]:
    verdict = registration.verdict
    names = ("accepted", "probability", "reason", "ce90_px", "ce90_ground", "ground_unit")
    return {
        "index": index,
        "path": registration.moving["path"],
        "output": output,
        "report": report,
        "verdict": {name: getattr(verdict, name) for name in names},
        "transform": transform_part(registration),
    }


def _pair(pair: PairInGroup) -> dict[str, Any]:
    verdict, transform = pair.verdict, pair.transform
    known = {} if transform is None else {"direction": "moving_to_fixed", "pixel_origin": "corner"}
    return {
        "fixed": pair.fixed,
        "moving": pair.moving,
        "state": pair.state,
        "reason": pair.reason,
        "accepted": verdict is not None and verdict.accepted,
        "probability": None if verdict is None else verdict.probability,
        "ce90_px": None if verdict is None else verdict.ce90_px,
        "off_px": pair.off_px,
        "in_loop": pair.in_loop,
        # Maps that bend may take megabytes, and those of the images are what counts.
        "transform": transform
        and {
            "kind": transform.kind,
            "matrix": None if transform.matrix is None else transform.matrix.tolist(),
            **known,
        },
    }


@dataclass(frozen=True)
class DrawnImage:
    x: float
    y: float
    accepted: bool
    is_reference: bool
    name: str


@dataclass(frozen=True)
class DrawnPair:
    x1: float
    y1: float
    x2: float
    y2: float
    state: str
    label: str
    """How far it is off, where the drawing has room for it."""
    label_x: float
    label_y: float
    says: str


@dataclass(frozen=True)
class Graph:
    """Images on a circle, the first on top, and a line for each pair; SVG units."""

    size: float
    node: float
    images: tuple[DrawnImage, ...]
    pairs: tuple[DrawnPair, ...]


def drawn_graph(document: GroupDocument) -> Graph:
    count, middle = len(document["images"]), _SIZE / 2
    turns = [2 * math.pi * (k / count - 0.25) for k in range(count)]
    at = [(middle + _RADIUS * math.cos(turn), middle + _RADIUS * math.sin(turn)) for turn in turns]
    images = tuple(
        DrawnImage(x, y, bool(one["verdict"]["accepted"]), k == document["reference"], os.path.basename(one["path"]))
        for k, ((x, y), one) in enumerate(zip(at, document["images"], strict=True))
    )
    labelled = len(document["pairs"]) <= LABELLED_PAIRS
    pairs = []
    for pair in document["pairs"]:
        (x1, y1), (x2, y2) = at[pair["fixed"]], at[pair["moving"]]
        off = "" if pair["off_px"] is None else quantity(pair["off_px"], "px", 2)
        says = f"{images[pair['moving']].name} on {images[pair['fixed']].name}: {STATES[pair['state']]} {off}".rstrip()
        # Not at the middle, where the lines of opposite images cross.
        label_x, label_y = x1 + 0.36 * (x2 - x1), y1 + 0.36 * (y2 - y1)
        pairs.append(DrawnPair(x1, y1, x2, y2, pair["state"], off if labelled else "", label_x, label_y, says))
    return Graph(_SIZE, _NODE, images, tuple(pairs))


def render_group(document: GroupDocument, folder: Path) -> str:
    """The page, for a file in `folder`; links to reports are relative to that.

    Everything is inlined and the page forbids itself any request; every text is escaped.
    """
    environment = templates("xmatch.report", number=number, percent=percent, quantity=quantity, base=os.path.basename)
    loops = sorted(document["loops"], key=lambda loop: -loop["off_px"])
    page = environment.get_template("group.html").render(
        doc=document,
        states=STATES,
        counts={state: n for state in STATES if (n := sum(pair["state"] == state for pair in document["pairs"]))},
        placed=sum(bool(image["verdict"]["accepted"]) for image in document["images"]),
        graph=drawn_graph(document),
        loops=loops[:SHOWN_LOOPS],
        links=[
            image["report"] and quote(os.fsencode(os.path.relpath(image["report"], folder)))
            for image in document["images"]
        ],
    )
    return page.encode("utf-8", "replace").decode("utf-8")
