"""The JSON of a registration taken back: checked once, against the schema, so that nothing after it doubts a field."""

from __future__ import annotations

import json
import os
from functools import cache
from importlib import resources
from typing import Any, cast

import numpy as np

from xmatch.errors import InputError
from xmatch.geometry import transform_from_dict
from xmatch.io.text_files import read_json
from xmatch.raster import Georef
from xmatch.report.document import SCHEMA
from xmatch.report.document_types import ImageFacts, RegistrationDocument

_HINT = "a .report.json that xmatch register wrote is expected"


def read_report(path: str | os.PathLike[str]) -> RegistrationDocument:
    """The JSON document of an earlier registration, whose transform and georeferencing can be used as they are.

    Raises:
        InputError: the file cannot be read, or is no such document; says which field is wrong.
    """
    document = read_json(path)
    if not isinstance(document, dict) or "schema" not in document:
        raise InputError("not the JSON of a registration", hint=_HINT, path=path)
    if document["schema"] != SCHEMA:
        reason = f"its schema is {str(document['schema'])[:60]!r}, not {SCHEMA!r}"
        raise InputError(reason, hint=_HINT, path=path)
    if problem := _problem(document):
        raise InputError(f"not the JSON of a registration: {problem}", hint=_HINT, path=path)
    return cast(RegistrationDocument, document)  # the schema holds it to the type; a test holds both together


def georef_of(image: ImageFacts) -> Georef | None:
    """The georeferencing in a document's `fixed` or `moving`."""
    return Georef.from_dict(image["georef"]) if image.get("georef") else None


def _problem(document: dict[str, Any]) -> str | None:
    """What is wrong with a document, with the name of the field; None for a sound one."""
    from jsonschema.exceptions import best_match

    error = best_match(_validator().iter_errors(document))
    if error is not None:
        # The message begins with the value, which may be a matrix or a page of text.
        message = error.message if len(error.message) < 160 else f"... {error.message[-150:]}"
        return f"{error.json_path.removeprefix('$.')}: {message}" if error.path else message
    try:
        if document["transform"] is not None:
            transform_from_dict(document["transform"])
    except ValueError as wrong:
        return f"transform: {wrong}"
    for name in ("fixed", "moving"):
        if problem := _georef_problem(georef_of(document[name])):
            return f"{name}.georef: {problem}"
    return None


def _georef_problem(georef: Georef | None) -> str | None:
    from xmatch.io.crs import parse_crs

    if georef is None:
        return None
    with np.errstate(all="ignore"):
        if not 0 < abs(np.linalg.det(georef.matrix)) < np.inf:
            return "its affine has no inverse"
    try:
        if georef.crs_wkt is not None:
            parse_crs(georef.crs_wkt)
    except ValueError as error:
        return f"its crs_wkt cannot be parsed: {error}"
    return None


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    schema = resources.files("xmatch.report").joinpath("registration.schema.json").read_text("utf-8")
    return Draft202012Validator(json.loads(schema))
