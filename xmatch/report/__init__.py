"""What a registration leaves behind: a JSON document for programs, and one HTML page for people, drawn from it."""

from xmatch.report.document import SCHEMA, registration_document, to_json
from xmatch.report.page import render_html
from xmatch.report.previews import Frame, Previews, make_previews
from xmatch.report.reading import georef_of, read_report
from xmatch.report.writers import REPORT_WRITERS, csv_row, form_of, write_reports

__all__ = [
    "REPORT_WRITERS",
    "SCHEMA",
    "Frame",
    "Previews",
    "csv_row",
    "form_of",
    "georef_of",
    "make_previews",
    "read_report",
    "registration_document",
    "render_html",
    "to_json",
    "write_reports",
]
