"""The results as one HTML page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xmatch.evaluation.curves import charts
from xmatch.evaluation.pictures import Picture
from xmatch.evaluation.scores import KINDS
from xmatch.evaluation.tables import cell, tables
from xmatch.report.templating import templates

MOST_FAILURES = 200
"""Listed; the JSON has all."""


def render_page(document: dict[str, Any], pictures: Sequence[Picture] = ()) -> str:
    """The page of a results document; every text is escaped, and the page forbids itself any request."""
    environment = templates("xmatch.evaluation", "xmatch.report", cell=cell)
    names = list(document["matchers"])
    page = environment.get_template("evaluation.html").render(
        doc=document,
        kind=KINDS[document["kind"]],
        tables=tables(document),
        charts=charts(document),
        colours={name: place % COLOURS for place, name in enumerate(names)},
        pictures=pictures,
        failures=document["failures"][:MOST_FAILURES],
        runs=document["certificate"]["runs"],
    )
    # Names of files that are not UTF-8 arrive as lone surrogates, which no page can hold.
    return page.encode("utf-8", "replace").decode("utf-8")


COLOURS = 8
"""Colours of lines in the style sheet; after so many matchers they come again."""
