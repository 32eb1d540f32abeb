"""The report as one HTML page that needs nothing but itself."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xmatch.report import evidence
from xmatch.report.advice import advice
from xmatch.report.charts import Axis, Bar, Chart, chart
from xmatch.report.correction import in_words
from xmatch.report.document_types import HistogramPart, ImageFacts, RegistrationDocument
from xmatch.report.drawing import edges_png, jpeg, match_lines, residual_arrows
from xmatch.report.fields import bend_field, error_field
from xmatch.report.numbers import number, percent, quantity
from xmatch.report.previews import Previews
from xmatch.report.templating import templates

if TYPE_CHECKING:
    from markupsafe import Markup

FACTS = {
    "path": "File",
    "format": "Format",
    "size": "Size",
    "bands": "Bands",
    "dtype": "Data type",
    "crs": "CRS",
    "gsd": "Pixel size",
    "spacing_um": "Pixel spacing, \u00b5m",
    "nodata": "No-data value",
    "sha256": "SHA-256",
}
"""What the page calls a known fact of a file; other facts follow under their own names."""

NOT_FOR_READING = ("georef", "georef_ignored", "bytes", "medical", "resolution")
"""Facts for programs only."""

REPLAY_OPTIONS = ("matcher", "weights", "transform", "device", "seed")
"""Options that a command is put together from when the provenance does not carry the command itself."""


def render_html(document: RegistrationDocument, previews: Previews | None = None) -> str:
    """The page for a registration document.

    Args:
        document: what `registration_document` gave, or the same read back from JSON.
        previews: pictures; without them the page has its numbers only.

    Everything is inlined and the page forbids itself any request; every text is escaped.
    """
    environment = templates(
        "xmatch.report", number=number, percent=percent, quantity=quantity, name=file_name, options=mark_options
    )
    verdict = document["verdict"]
    page = environment.get_template("page.html").render(
        doc=document,
        verdict=verdict,
        correction=in_words(document["correction"]) if document["correction"] else None,
        by_points=verdict["probability"] is None and document["transform"] is not None,
        odds=odds_sentence(verdict["probability"], verdict["accepted"]),
        # The verdict counts inliers of the first look; a page has one count of them, that of the final map.
        evidence=[row for row in evidence.rows(verdict["evidence"]) if row.name != "inliers"],
        advice=advice(document),
        pictures=previews and _pictures(previews),
        lines=previews and match_lines(previews),
        arrows=previews and residual_arrows(previews),
        errors=previews and error_field(document, previews),
        bend=previews and bend_field(document, previews),
        histogram=residual_histogram(document["residuals"]["histogram"]) if document["residuals"] else None,
        facts=_facts(document["fixed"], document["moving"]),
        timings=_timings(document["seconds"]),
        provenance=_flat({key: item for key, item in document["provenance"].items() if key != "command"}),
        command=replay_command(document),
    )
    # Names of files that are not UTF-8 arrive as lone surrogates, which no page can hold.
    return page.encode("utf-8", "replace").decode("utf-8")


def odds_sentence(probability: float | None, accepted: bool) -> str:
    """The calibrated probability as a count that people can picture."""
    if probability is None:
        return "There was not enough evidence to say how likely it is to be right."
    of_hundred = round(100 * probability)
    if probability >= 0.995:
        return "More than 99 of 100 registrations with this evidence are right."
    if of_hundred < 1:
        return "Fewer than 1 of 100 registrations with this evidence is right."
    verb = "is" if of_hundred == 1 else "are"
    return f"{'About' if accepted else 'Only about'} {of_hundred} of 100 registrations with this evidence {verb} right."


def residual_histogram(histogram: HistogramPart) -> Chart:
    """Bars from 0 to the fullest bin."""
    edges, counts = histogram["edges_px"], histogram["counts"]
    bars = [Bar(low, high, count) for low, high, count in zip(edges, edges[1:], counts, strict=False)]
    x = Axis("residual, fixed px", edges[0], edges[-1])
    return chart("Residuals", "", x, Axis("matches", 0, max(counts), whole=True), bars=bars)


def replay_command(document: RegistrationDocument) -> str:
    """The command that gives this registration again, ready for a shell."""
    provenance = document["provenance"]
    command = provenance.get("command")
    if not command:
        options = provenance.get("options") or {}
        fixed, moving = document["fixed"], document["moving"]
        command = ["xmatch", "register", fixed.get("path", "FIXED"), moving.get("path", "MOVING")]
        for name in REPLAY_OPTIONS:
            if options.get(name) is not None:
                command += [f"--{name}", str(options[name])]
        if document["output"]:
            command += ["--output", document["output"]]
    # Recorded as the process saw it, with the path of an installed script in front.
    program, *words = map(str, command)
    if re.search(r"(^|[/\\])(xmatch(\.exe)?|__main__\.py)$", program):
        program = "xmatch"
    return shlex.join([program, *words])


def file_name(facts: ImageFacts) -> str:
    """The last part of a file's path."""
    return re.split(r"[/\\]", str(facts.get("path") or "unnamed"))[-1]


def mark_options(text: str) -> Markup:
    """Escaped text, with its command-line options set as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"(?<![\w-])(--[a-z][a-z-]*)", r"<code>\1</code>", str(escape(text))))


def fact_text(value: Any) -> str:
    """Any value of the document as one line."""
    match value:
        case None:
            return "\u2013"
        case bool():
            return "yes" if value else "no"
        case int():
            return str(value)
        case float():
            return number(value, 6)
        case list():
            between = " \u00d7 " if all(isinstance(item, (int, float)) for item in value) else ", "
            return between.join(fact_text(item) for item in value) or "\u2013"
        case dict():
            return ", ".join(f"{key} {fact_text(item)}" for key, item in value.items())
        case _:
            return str(value)


@dataclass(frozen=True)
class PagePictures:
    """Data URIs, and the size (width, height) of what they show."""

    fixed: str
    fixed_size: tuple[int, int]
    moving: str
    moving_size: tuple[int, int]
    warped: str | None
    """None without a transform, as the next."""
    edges: str | None


def _pictures(previews: Previews) -> PagePictures:
    warped, valid = previews.moving_warped, previews.warped_valid
    both = None if warped is None or valid is None else (warped, valid)
    return PagePictures(
        fixed=jpeg(previews.fixed, previews.fixed_valid),
        fixed_size=previews.fixed_frame.size,
        moving=jpeg(previews.moving, previews.moving_valid),
        moving_size=previews.moving_frame.size,
        warped=jpeg(*both) if both else None,
        edges=edges_png(both[0], both[1] & previews.fixed_valid) if both else None,
    )


def _facts(fixed: ImageFacts, moving: ImageFacts) -> list[tuple[str, str, str, str]]:
    """(label, key, fixed, moving) of each fact that either file has."""
    both: list[ImageFacts] = []
    for given in (fixed, moving):
        facts = dict(given)
        if facts.get("width") and facts.get("height"):
            facts["size"] = f"{number(facts.pop('width'))} \u00d7 {number(facts.pop('height'))} px"
        if facts.get("crs"):
            facts["crs"] = _crs_name(str(facts["crs"]))
        if isinstance(facts.get("gsd"), dict):
            gsd = facts["gsd"]
            facts["gsd"] = f"{number(gsd['x'], 5)} \u00d7 {number(gsd['y'], 5)} {gsd.get('unit') or 'CRS units'}"
        both.append(facts)
    keys = dict.fromkeys([*FACTS, *both[0], *both[1]])
    first, second = both
    return [
        (
            FACTS.get(key, key.replace("_", " ").capitalize()),
            key,
            fact_text(first.get(key)),
            fact_text(second.get(key)),
        )
        for key in keys
        if key not in NOT_FOR_READING and any(facts.get(key) not in (None, [], {}, "") for facts in both)
    ]


def _crs_name(crs: str) -> str:
    """The name inside a WKT; a short form such as EPSG:32632 as it is."""
    quoted = re.match(r'\s*[A-Z_]+\s*\[\s*"([^"]+)"', crs)
    return quoted.group(1) if quoted else crs


def _timings(seconds: dict[str, float | None]) -> list[tuple[str, float, float]]:
    """(stage, seconds, share of the longest), the total last."""
    stages = {name: value or 0.0 for name, value in seconds.items() if name != "total"}
    longest = max(stages.values(), default=0.0) or 1.0
    timings = [(name.replace("_", " "), value, value / longest) for name, value in stages.items()]
    if (total := seconds.get("total")) is not None:
        timings.append(("total", total, 0.0))
    return timings


def _flat(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Dotted names and one-line values of a nested dict."""
    if isinstance(value, dict) and value:
        return [row for key, item in value.items() for row in _flat(item, f"{path}.{key}" if path else key)]
    return [(path, fact_text(value))]
