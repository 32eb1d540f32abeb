"""What can be said of weights, as documents and as lines: of files, and of what is published."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xmatch.io.weights.files import WeightsMetadata
    from xmatch.networks.architecture import Architecture, PublishedWeights


def published_row(row: PublishedWeights, entry: Architecture[Any]) -> dict[str, Any]:
    """Published weights, and what runs them."""
    from xmatch.networks.weights import matcher_of

    fields = {"family": entry.name, "matcher": matcher_of(row, entry), "mib": row.mib and round(row.mib, 1)}
    return {**dataclasses.asdict(row), **fields, "notes": [entry.not_run] if entry.not_run else []}


def file_document(path: Path) -> dict[str, Any]:
    """What can be said of a file of weights."""
    from xmatch.io.checksum import sha256
    from xmatch.io.weights.files import read_entries, read_metadata
    from xmatch.io.weights.guard import weights_kind
    from xmatch.networks.registry import recognise

    kind = weights_kind(path)
    if kind != "safetensors":
        return _pickle_document(path, kind)
    entries, metadata = read_entries(path), read_metadata(path)
    counts = {name: (entry.dtype, entry.count) for name, entry in entries.items()}
    return _document(path, kind, sha256(path), counts, metadata, recognise(entries))


def _pickle_document(path: Path, kind: str) -> dict[str, Any]:
    from xmatch.io.weights.files import WeightsMetadata
    from xmatch.io.weights.published_pickles import import_weights
    from xmatch.networks.registry import recognise
    from xmatch.networks.weights import published_as

    found = import_weights(path)
    known, entry = published_as(found.sha256), recognise(found.state_dict)
    metadata = WeightsMetadata(
        known.name if known else path.stem, entry.name if entry else "", known.licence if known else ""
    )
    counts = {name: (str(t.dtype).removeprefix("torch."), t.numel()) for name, t in found.state_dict.items()}
    document = _document(path, kind, found.sha256, counts, metadata, entry)
    return {**document, "notes": [*found.notes, *architecture_notes(entry, found.state_dict), *document["notes"]]}


def architecture_notes(entry: Architecture[Any] | None, names: Collection[str]) -> list[str]:
    """What a person should know of the network that tensors are told to belong to."""
    if entry is None:
        return [f"no architecture known here has these names: {', '.join(sorted(names)[:3])}, ..."]
    if entry.tensors not in (None, len(names)):
        return [f"{len(names)} tensors; {entry.title} has {entry.tensors}"]
    return []


def _document(
    path: Path,
    kind: str,
    sha256: str,
    counts: dict[str, tuple[str, int]],
    metadata: WeightsMetadata,
    recognised: Architecture[Any] | None,
) -> dict[str, Any]:
    from xmatch.networks.registry import ARCHITECTURES

    types = sorted({dtype for dtype, _ in counts.values()})
    floating = [count for dtype, count in counts.values() if dtype.lower().startswith(("f", "bf"))]
    entry = ARCHITECTURES.get(metadata.architecture, recognised)
    return {
        "path": str(path),
        "format": kind,
        "bytes": path.stat().st_size,
        "sha256": sha256,
        "tensors": len(counts),
        # Numbers in floating tensors, running means and the like included.
        "parameters": sum(floating),
        "dtypes": {dtype: sum(1 for found, _ in counts.values() if found == dtype) for dtype in types},
        **dataclasses.asdict(metadata),
        "architecture": metadata.architecture or (recognised.name if recognised else ""),
        "matcher": entry.matcher if entry else None,
        "notes": [entry.not_run] if entry and entry.not_run else [],
    }


def document_lines(document: dict[str, Any]) -> list[str]:
    """The document for a person: one line a field, fields that say nothing left out."""
    shown = {key: value for key, value in document.items() if key not in ("schema", "ok", "notes")}
    if "bytes" in shown:
        shown["bytes"] = f"{shown['bytes']:,}"
        shown["parameters"] = f"{shown['parameters']:,}"
    if "licence" in shown:
        shown["licence"] = shown["licence"] or "unknown"
    lines = []
    for key, value in shown.items():
        if isinstance(value, dict):
            lines += [f"{key + ':':<15}{inner} = {number}" for inner, number in value.items()]
        elif isinstance(value, list):
            lines += [f"{key + ':':<15}{item}" for item in value]
        elif value not in (None, ""):
            lines.append(f"{key + ':':<15}{value}")
    return lines + [f"note: {note}" for note in document.get("notes", [])]
