"""The results as one HTML page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Sequence

from xmatch.evaluation.curves import charts, line_colours
from xmatch.evaluation.pictures import PairPicture
from xmatch.evaluation.rows import ResultsDocument
from xmatch.evaluation.scores import KINDS
from xmatch.evaluation.tables import cell, tables
from xmatch.report.templating import templates

MOST_FAILURES = 200
"""Listed; the JSON has all."""


def render_page(document: ResultsDocument, pictures: Sequence[PairPicture] = ()) -> str:
    """The page of a results document; every text is escaped, and the page forbids itself any request."""
    environment = templates("xmatch.evaluation", "xmatch.report", cell=cell)
    page = environment.get_template("evaluation.html").render(
        doc=document,
        kind=KINDS[document["kind"]],
        tables=tables(document),
        charts=charts(document),
        colours=line_colours(document),
        pictures=pictures,
        failures=document["failures"][:MOST_FAILURES],
        runs=document["certificate"]["runs"],
    )
    # Names of files that are not UTF-8 arrive as lone surrogates, which no page can hold.
    return page.encode("utf-8", "replace").decode("utf-8")
