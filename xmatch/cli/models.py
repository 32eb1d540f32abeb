"""`xmatch models`: which weights there are, what a file of weights is, and pickles turned into safetensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmatch.cli.console import say
from xmatch.cli.groups import grouped
from xmatch.cli.options import Overwrite, Verbosity
from xmatch.cli.runtime import emit, emit_text
from xmatch.errors import ModelError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from xmatch.io.weights.files import WeightsMetadata
    from xmatch.networks.architecture import Architecture, PublishedWeights

LIST_SCHEMA = "xmatch.models/1"
MODEL_SCHEMA = "xmatch.model/1"

models_app = typer.Typer(no_args_is_help=True, help="List, inspect and convert the weights of matchers.")


@models_app.command("list")
@grouped
def list_command(talk: Verbosity) -> None:
    """List the models inside the package, and published weights that can be converted.

    Example: xmatch models list
    """
    from xmatch.io.weights.files import read_metadata
    from xmatch.networks.weights import published, shipped

    inside = {name: (path, read_metadata(path)) for name, path in shipped().items()}
    others = published()
    if talk.json:
        rows = [
            {"name": name, "path": str(path), "bytes": path.stat().st_size, "licence": metadata.licence}
            for name, (path, metadata) in inside.items()
        ]
        emit(
            {
                "schema": LIST_SCHEMA,
                "ok": True,
                "shipped": rows,
                "published": [_row(*other) for other in others.values()],
            }
        )
        return
    emit_text("In the package:\n")
    if not inside:
        emit_text("  none yet\n")
    for name, (path, metadata) in inside.items():
        emit_text(f"  {name:<22}{path.stat().st_size / 2**20:5.1f} MiB  {metadata.licence or 'licence unknown'}\n")
    emit_text("\nPublished weights, to be fetched from their authors (xmatch models info NAME says where):\n")
    for row, entry in others.values():
        size = "    ?" if row.mib is None else f"{row.mib:5.0f}"
        limit = "" if row.commercial else ", not for commercial use"
        runs = f"--matcher {entry.matcher}" if entry.matcher else "convert only"
        emit_text(f"  {row.name:<22}{size} MiB  {runs:<14} {row.licence}{limit}\n")


@models_app.command("info")
@grouped
def info_command(
    model: Annotated[
        str, typer.Argument(metavar="NAME|PATH", help="A name that the list shows, or a file.", show_default=False)
    ],
    talk: Verbosity,
) -> None:
    """Say what weights are: size, type, licence, data, measured numbers, architecture, SHA-256.

    Pickles (.ckpt, .pth, .pt) are read without running anything in them.

    Example: xmatch models info minima_roma.pth
    """
    from xmatch.networks.weights import find_weights, published

    known = published()
    document: dict[str, Any] = {"schema": MODEL_SCHEMA, "ok": True}
    if model in known and not Path(model).exists():
        document |= {"path": None, **_row(*known[model])}
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
    talk: Verbosity,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the model; default TARGET's.", show_default=False)
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--licence", help="SPDX name of its licence.", metavar="SPDX", show_default=False)
    ] = None,
    training: Annotated[
        str | None,
        typer.Option(
            "--training",
            help="Which training the weights are of, where they do not tell and it matters: of LoFTR outdoor, indoor, "
            "indoor_new or minima.",
            metavar="NAME",
            show_default=False,
        ),
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
    from xmatch.networks.registry import recognise
    from xmatch.networks.weights import published_as

    _check_suffix(target)
    check_target(target, overwrite=overwrite, inputs=[source])
    found = import_weights(source)
    known, entry = published_as(found.sha256), recognise(found.state_dict)
    training = training or (known.training if known else None)
    metadata = found.metadata or WeightsMetadata(
        name=known.name if known else target.stem,
        architecture=entry.name if entry else "",
        licence=known.licence if known else "",
    )
    metadata = dataclasses.replace(
        metadata,
        name=name or metadata.name,
        licence=metadata.licence if licence is None else licence,
        config=metadata.config or _config_told(entry, found.state_dict, training),
        sources=[*metadata.sources, {"file": source.name, "sha256": found.sha256}],
    )
    save_weights(target, found.state_dict, metadata, half=half, overwrite=overwrite)
    document = _file_document(target)
    notes = [*found.notes, *_architecture_notes(entry, found.state_dict)]
    if entry and entry.trainings and not metadata.config:
        notes.append(f"no matcher can run these: which training are they of? --training {'|'.join(entry.trainings)}")
    if talk.json:
        emit({"schema": MODEL_SCHEMA, "ok": True, **document, "notes": notes})
    say(talk, [f"note: {note}" for note in notes])
    say(talk, ["note: licence unknown; --licence records it"] if not metadata.licence else [])
    kind = f"{entry.title}: " if entry else ""
    say(talk, [f"{kind}{document['tensors']} tensors, {document['parameters']:,} parameters", f"wrote {target}"])


def _config_told(
    entry: Architecture[Any] | None, tensors: Mapping[str, Tensor], training: str | None
) -> dict[str, Any]:
    """What a file has to say of its config beyond its tensors; empty where these tell it, or nobody has told.

    Raises:
        UsageError: a training that is not known of these weights.
        ModelError: tensors are missing.
    """
    if training is None:
        return {}
    if entry is None or training not in entry.trainings:
        known = ", ".join(entry.trainings) if entry and entry.trainings else "none of these weights"
        raise UsageError(f"--training {training!r} is not known", hint=f"known: {known}")
    try:
        return entry.config_told(entry.renamed(tensors) if entry.renamed else tensors, training)
    except KeyError as error:
        raise ModelError(f"{entry.title}: tensor {error} is missing") from None


@models_app.command("merge")
@grouped
def merge_command(
    base: Annotated[Path, typer.Argument(help="The weights that were adapted.", show_default=False)],
    additions: Annotated[Path, typer.Argument(help="What `xmatch adapt` wrote: .low-rank.safetensors.")],
    target: Annotated[Path, typer.Argument(help="The .safetensors file to write.", show_default=False)],
    talk: Verbosity,
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
    tensors, metadata = added(base, additions)
    save_weights(target, tensors, metadata, overwrite=overwrite)
    if talk.json:
        emit({"schema": MODEL_SCHEMA, "ok": True, **_file_document(target)})
    say(talk, [f"wrote {target}"])


def _check_suffix(target: Path) -> None:
    if target.suffix != ".safetensors":
        raise UsageError("the target must end in .safetensors", hint=f"{target.stem}.safetensors")


def _row(row: PublishedWeights, entry: Architecture[Any]) -> dict[str, Any]:
    """Published weights, and what runs them."""
    fields = {"family": entry.name, "matcher": entry.matcher, "mib": row.mib and round(row.mib, 1)}
    return {**dataclasses.asdict(row), **fields, "notes": [entry.not_run] if entry.not_run else []}


def _file_document(path: Path) -> dict[str, Any]:
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
    return {**document, "notes": [*found.notes, *_architecture_notes(entry, found.state_dict), *document["notes"]]}


def _architecture_notes(entry: Architecture[Any] | None, names: Collection[str]) -> list[str]:
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
            lines += [f"{key + ':':<15}{inner} = {number}" for inner, number in value.items()]
        elif isinstance(value, list):
            lines += [f"{key + ':':<15}{item}" for item in value]
        elif value not in (None, ""):
            lines.append(f"{key + ':':<15}{value}")
    return lines + [f"note: {note}" for note in document.get("notes", [])]
