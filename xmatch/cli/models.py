"""`xmatch models`: which weights there are, what a file of weights is, and pickles turned into safetensors."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmatch.cli.console import say
from xmatch.cli.groups import grouped
from xmatch.cli.options import Overwrite, Talk
from xmatch.cli.runtime import emit, emit_text
from xmatch.errors import UsageError

if TYPE_CHECKING:
    from xmatch.io.weights.files import WeightsMetadata
    from xmatch.io.weights.published_pickles import Imported
    from xmatch.io.weights.shelf import Published

LIST_SCHEMA = "xmatch.models/1"
MODEL_SCHEMA = "xmatch.model/1"

models_app = typer.Typer(no_args_is_help=True, help="List, inspect and convert the weights of matchers.")


@models_app.command("list")
@grouped
def list_command(talk: Talk) -> None:
    """List the models inside the package, and published weights that can be converted.

    Example: xmatch models list
    """
    from xmatch.io.weights.files import read_metadata
    from xmatch.io.weights.shelf import published, shipped

    inside = {name: (path, read_metadata(path)) for name, path in shipped().items()}
    others = published()
    if talk.json:
        rows = [
            {"name": name, "path": str(path), "bytes": path.stat().st_size, "licence": told.licence}
            for name, (path, told) in inside.items()
        ]
        emit({"schema": LIST_SCHEMA, "ok": True, "shipped": rows, "published": [_row(o) for o in others.values()]})
        return
    emit_text("In the package:\n")
    if not inside:
        emit_text("  none yet\n")
    for name, (path, told) in inside.items():
        emit_text(f"  {name:<22}{path.stat().st_size / 2**20:5.1f} MiB  {told.licence or 'licence unknown'}\n")
    emit_text("\nPublished weights, to be fetched from their authors (xmatch models info NAME says where):\n")
    for other in others.values():
        size = "    ?" if other.mib is None else f"{other.mib:5.0f}"
        limit = "" if other.commercial else ", not for commercial use"
        runs = f"--matcher {other.matcher}" if other.matcher else "convert only"
        emit_text(f"  {other.name:<22}{size} MiB  {runs:<14} {other.licence}{limit}\n")


@models_app.command("info")
@grouped
def info_command(
    model: Annotated[
        str, typer.Argument(metavar="NAME|PATH", help="A name that the list shows, or a file.", show_default=False)
    ],
    talk: Talk,
) -> None:
    """Say what weights are: size, type, licence, data, measured numbers, architecture, SHA-256.

    Pickles (.ckpt, .pth, .pt) are read without running anything in them.

    Example: xmatch models info minima_roma.pth
    """
    from xmatch.io.weights.shelf import find_weights, published

    known = published()
    document = {"schema": MODEL_SCHEMA, "ok": True}
    if model in known and not Path(model).exists():
        document |= {"path": None, **_row(known[model])}
    else:
        document |= _file_document(find_weights(model))
    if talk.json:
        emit(document)
    else:
        emit_text("".join(f"{line}\n" for line in _lines(document)))


@models_app.command("convert")
@grouped
def convert_command(
    source: Annotated[Path, typer.Argument(help="Weights as published: .ckpt, .pth, .pt.", show_default=False)],
    target: Annotated[Path, typer.Argument(help="The .safetensors file to write.", show_default=False)],
    talk: Talk,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the model; default TARGET's.", show_default=False)
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--licence", help="SPDX name of its licence.", metavar="SPDX", show_default=False)
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Half precision: half the size.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Turn SOURCE into safetensors that say where they come from.

    Nothing in SOURCE is run: a pickle that asks for more than tensors is refused (exit code 6). Wrappers such as
    state_dict are opened and prefixes such as matcher. taken off the names.

    Example: xmatch models convert minima_roma.pth minima-roma.safetensors --licence Apache-2.0
    """
    from xmatch.io.weights.files import WeightsMetadata, save_weights
    from xmatch.io.weights.published_pickles import import_weights
    from xmatch.io.writing.atomic import check_target

    _check_suffix(target)
    check_target(target, overwrite=overwrite, inputs=[source])
    found = import_weights(source)
    known = _known(found.sha256)
    told = found.metadata or WeightsMetadata(
        name=known.name if known else target.stem,
        architecture=found.family.name if found.family else "",
        licence=known.licence if known else "",
    )
    told = dataclasses.replace(
        told,
        name=name or told.name,
        licence=told.licence if licence is None else licence,
        sources=[*told.sources, {"file": source.name, "sha256": found.sha256}],
    )
    save_weights(target, found.state_dict, told, half=half, overwrite=overwrite)
    document = _file_document(target)
    if talk.json:
        emit({"schema": MODEL_SCHEMA, "ok": True, **document, "notes": found.notes})
    say(talk, [f"note: {note}" for note in found.notes])
    say(talk, ["note: licence unknown; --licence records it"] if not told.licence else [])
    kind = f"{found.family.title}: " if found.family else ""
    say(talk, [f"{kind}{document['tensors']} tensors, {document['parameters']:,} parameters", f"wrote {target}"])


@models_app.command("merge")
@grouped
def merge_command(
    base: Annotated[Path, typer.Argument(help="The weights that were adapted.", show_default=False)],
    additions: Annotated[Path, typer.Argument(help="What `xmatch adapt` wrote: .low-rank.safetensors.")],
    target: Annotated[Path, typer.Argument(help="The .safetensors file to write.", show_default=False)],
    talk: Talk,
    overwrite: Overwrite = False,
) -> None:
    """Add low-rank ADDITIONS to the BASE that they were trained on: weights for --weights.

    Example: xmatch models merge small.safetensors adapted.low-rank.safetensors adapted.safetensors
    """
    from xmatch.adaptation.low_rank import added
    from xmatch.io.weights.files import save_weights
    from xmatch.io.writing.atomic import check_target

    _check_suffix(target)
    check_target(target, overwrite=overwrite, inputs=[base, additions])
    tensors, told = added(base, additions)
    save_weights(target, tensors, told, overwrite=overwrite)
    if talk.json:
        emit({"schema": MODEL_SCHEMA, "ok": True, **_file_document(target)})
    say(talk, [f"wrote {target}"])


def _check_suffix(target: Path) -> None:
    if target.suffix != ".safetensors":
        raise UsageError("the target must end in .safetensors", hint=f"{target.stem}.safetensors")


def _known(sha256: str) -> Published | None:
    """The published weights whose file has this hash."""
    from xmatch.io.weights.shelf import published

    return next((row for row in published().values() if row.sha256 == sha256), None)


def _row(row: Published) -> dict[str, Any]:
    return {**dataclasses.asdict(row), "mib": row.mib and round(row.mib, 1)}


def _file_document(path: Path) -> dict[str, Any]:
    """What can be said of a file of weights."""
    from xmatch.io.weights.files import read_entries, read_metadata
    from xmatch.io.weights.guard import sha256, weights_kind
    from xmatch.io.weights.kinds import recognise

    kind = weights_kind(path)
    if kind != "safetensors":
        return _pickle_document(path, kind)
    entries, told = read_entries(path), read_metadata(path)
    counts = {name: (entry.dtype, entry.count) for name, entry in entries.items()}
    known = recognise(entries)
    return _document(path, kind, sha256(path), counts, told, known.name if known else "")


def _pickle_document(path: Path, kind: str) -> dict[str, Any]:
    from xmatch.io.weights.files import WeightsMetadata
    from xmatch.io.weights.published_pickles import import_weights

    found: Imported = import_weights(path)
    known = _known(found.sha256)
    family = found.family.name if found.family else ""
    told = WeightsMetadata(known.name if known else path.stem, family, known.licence if known else "")
    counts = {name: (str(t.dtype).removeprefix("torch."), t.numel()) for name, t in found.state_dict.items()}
    return {**_document(path, kind, found.sha256, counts, told, family), "notes": found.notes}


def _document(
    path: Path, kind: str, sha256: str, counts: dict[str, tuple[str, int]], told: WeightsMetadata, family: str
) -> dict[str, Any]:
    types = sorted({dtype for dtype, _ in counts.values()})
    floating = [count for dtype, count in counts.values() if dtype.lower().startswith(("f", "bf"))]
    return {
        "path": str(path),
        "format": kind,
        "bytes": path.stat().st_size,
        "sha256": sha256,
        "tensors": len(counts),
        # Numbers in floating tensors, running means and the like included.
        "parameters": sum(floating),
        "dtypes": {dtype: sum(1 for found, _ in counts.values() if found == dtype) for dtype in types},
        **dataclasses.asdict(told),
        "architecture": told.architecture or family,
    }


def _lines(document: dict[str, Any]) -> list[str]:
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
            lines += [f"{key + ':':<15}{inner} = {told}" for inner, told in value.items()]
        elif isinstance(value, list):
            lines += [f"{key + ':':<15}{told}" for told in value]
        elif value not in (None, ""):
            lines.append(f"{key + ':':<15}{value}")
    return lines + [f"note: {note}" for note in document.get("notes", [])]
