"""What an earlier run left: the same result, which need not be made again, or another one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xmatch.cli.outputs import Targets, Writing

if TYPE_CHECKING:
    from xmatch.report.document_types import RegistrationDocument

FURTHER = ("weights", "companion_weights", "tie_points", "initial", "mask", "moving_mask", "roi", "check_points")
"""Options that may name a file which shapes the result."""
SHAPES_NOTHING = ("max_memory", "allow_remote", "tile_size")
"""Options that a result does not depend on."""


def further_files(options: Mapping[str, Any]) -> dict[str, str]:
    """Option -> hash of the file that it names, of `FURTHER`; those that name none, an area or weights of the package,
    are missing."""
    from xmatch.io import file_digest

    named = {name: options.get(name) for name in FURTHER}
    return {name: file_digest(path) for name, path in named.items() if path and os.path.isfile(path)}


def earlier_document(targets: Targets) -> RegistrationDocument | None:
    """The report that is there, if it is one."""
    from xmatch.errors import InputError
    from xmatch.report import read_report

    if targets.json is None or not targets.json.exists():
        return None
    try:
        return read_report(targets.json)
    except InputError:
        return None


def changed_since(
    document: RegistrationDocument, fixed: str, moving: str, targets: Targets, writing: Writing, options: dict[str, Any]
) -> str | None:
    """What an earlier result was made otherwise by, in words; None where the same run would make it again.

    Compared are the bytes of all files that shape it, options and the version of xmatch; and all outputs must be there.
    A remote file, which is not fetched for this, is the same as long as its address is.

    Raises:
        InputError: one of the two images cannot be read.
    """
    from xmatch.io import file_digest
    from xmatch.io.json_values import json_ready
    from xmatch.provenance import xmatch_version

    provenance = document["provenance"]
    for name, path, known in (("FIXED", fixed, document["fixed"]), ("MOVING", moving, document["moving"])):
        digest = file_digest(path)
        if known.get("sha256") != digest or (digest.startswith("unhashed") and known.get("path") != path):
            return f"{name} was another file"
    if provenance.get("versions", {}).get("xmatch") != xmatch_version():
        return "it is of another version"
    files = further_files(options)
    if provenance.get("option_files") != files:
        return "files that options name were others"
    before, now = provenance.get("options", {}), json_ready(options)
    ignored = {*files, *SHAPES_NOTHING}
    other = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    if other := [name for name in other if name not in ignored]:
        return f"other options: {', '.join('--' + name.replace('_', '-') for name in other)}"
    accepted = document["verdict"]["accepted"]
    keep = document["transform"] is not None and (accepted or writing.keep_unreliable)
    missing = [path for path in targets.paths(accepted and keep, keep) if not path.exists()]
    return f"{missing[0]} is missing" if missing else None
