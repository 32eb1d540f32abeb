"""The forms that a report is written in, and the writing."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from os import PathLike
from pathlib import Path

from xmatch.io.writing.atomic import atomic_write
from xmatch.plugins import ExtensionPoint
from xmatch.report.document import to_json
from xmatch.report.document_types import RegistrationDocument
from xmatch.report.page import render_html
from xmatch.report.previews import Previews

Writer = Callable[[RegistrationDocument, Previews | None], str]
"""The document (and pictures, where the form shows any) as the text of one file."""

CSV_COLUMNS = (
    "fixed", "moving", "output", "accepted", "probability", "ce90_px", "ce90_ground", "ground_unit", "kind",
    "m00", "m01", "m02", "m10", "m11", "m12", "m20", "m21", "m22", "correspondences", "inliers", "residual_median_px",
    "seconds", "reason",
)  # fmt: skip


def csv_row(document: RegistrationDocument, *, header: bool = True) -> str:
    """One line of `CSV_COLUMNS`, under their names unless `header` is off; what is unknown stays empty."""
    verdict, transform, residuals = document["verdict"], document["transform"], document["residuals"]
    matrix = transform["matrix"] if transform and transform["matrix"] else [[None] * 3] * 3
    row = [
        document["fixed"].get("path"),
        document["moving"].get("path"),
        document["output"],
        str(verdict["accepted"]).lower(),
        *(verdict["probability"], verdict["ce90_px"], verdict["ce90_ground"], verdict["ground_unit"]),
        transform["kind"] if transform else None,
        *(cell for line in matrix for cell in line),
        document["correspondences"]["count"],
        document["correspondences"]["inliers"],
        residuals["median_px"] if residuals else None,
        document["seconds"].get("total"),
        verdict["reason"],
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(CSV_COLUMNS)
    writer.writerow(row)
    return text.getvalue()


REPORT_WRITERS: dict[str, Writer] = {
    "json": lambda document, previews: to_json(document, indent=2) + "\n",
    "html": render_html,
    "csv": lambda document, previews: csv_row(document),
}
"""Name (and file suffix) -> writer. Others join through the entry-point group `xmatch.report_writers`."""

EXTENSION_POINT: ExtensionPoint[str] = ExtensionPoint("form of report", REPORT_WRITERS, "xmatch.report_writers")


def form_of(path: str | PathLike[str]) -> str:
    """Name of the writer for a page of this name.

    Raises:
        UsageError: nobody writes such pages.
    """
    suffix = Path(path).suffix.lower().removeprefix(".")
    form = "html" if suffix == "htm" else suffix
    EXTENSION_POINT.builder(form)
    return form


def write_reports(
    document: RegistrationDocument,
    previews: Previews | None,
    json_path: str | PathLike | None,
    page_path: str | PathLike | None,
    overwrite: bool,
) -> None:
    """Write the document as JSON, as a page, or both; None leaves one out. The suffix of the page names its form.

    Both texts exist before the first file does, so that a fault of ours leaves no half of a report.

    Raises:
        UsageError: see `form_of`; or a plug-in failed.
        OutputError: a target exists and `overwrite` is off, or it cannot be written.
    """
    targets = [] if json_path is None else [("json", json_path)]
    targets += [] if page_path is None else [(form_of(page_path), page_path)]
    texts = [EXTENSION_POINT.build(name, document, previews) for name, _ in targets]
    for (_, path), text in zip(targets, [text.encode("utf-8", "surrogateescape") for text in texts], strict=True):

        def reads_back(written: Path, text: bytes = text) -> None:
            if Path(written).read_bytes() != text:
                raise OSError("what was written does not read back")

        with atomic_write(path, overwrite=overwrite, verify=reads_back) as temp_path:
            Path(temp_path).write_bytes(text)
