"""`xmatch models export`: a network as ONNX, held to torch before it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xmatch.cli.console import say
from xmatch.cli.groups import grouped
from xmatch.cli.options import Overwrite, Verbosity
from xmatch.cli.runtime import emit
from xmatch.errors import UsageError

SCHEMA = "xmatch.exported/1"


@grouped
def export_command(
    model: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="Of weights, as for --weights.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The .onnx file to write; parts are named after it.")],
    talk: Verbosity,
    size: Annotated[
        tuple[int, int] | None,
        typer.Option("--size", help="Height and width of images, px; default the network's own.", show_default=False),
    ] = None,
    opset: Annotated[int, typer.Option("--opset", help="Version of ONNX's operators.", metavar="N")] = 18,
    overwrite: Overwrite = False,
) -> None:
    """Write a network as ONNX, for programs without torch.

    Each file is run in onnxruntime beside torch first: where they differ by more than 1e-4, nothing is written (exit
    code 6). Needs the extra onnx.

    Example: xmatch models export xmatch-fields -o fields.onnx
    """
    from xmatch.io.checksum import sha256
    from xmatch.io.writing.atomic import atomic_writes, check_target
    from xmatch.networks.exported import TOLERANCE, needed, onnx_file
    from xmatch.networks.loading import load_network
    from xmatch.networks.registry import ARCHITECTURES

    if output.suffix != ".onnx":
        raise UsageError("the output must end in .onnx", hint=f"{output.stem}.onnx")
    for package in ("onnx", "onnxruntime"):
        needed(package)
    loaded = load_network(model)
    if loaded.entry.exported is None:
        can = ", ".join(entry.title for entry in ARCHITECTURES.values() if entry.exported)
        raise UsageError(f"{loaded.entry.title} cannot be exported", hint=f"can be: {can}")
    parts = loaded.entry.exported(loaded.network)
    targets = {part.name: output.with_suffix(f".{part.name}.onnx") if part.name else output for part in parts}
    for target in targets.values():
        check_target(target, overwrite=overwrite, inputs=[loaded.path])
    metadata = loaded.metadata
    licence = metadata.licence if metadata else loaded.known.licence if loaded.known else ""
    told = {"architecture": loaded.entry.name, "weights": loaded.path.name, "sha256": loaded.sha256, "licence": licence}
    written = [onnx_file(part, size, opset=opset, told=told) for part in parts]
    with atomic_writes(targets.values(), overwrite) as temporary:
        for file in written:
            temporary[targets[file.part.name]].write_bytes(file.data)
    files = [
        {
            "path": str(targets[file.part.name]),
            "part": file.part.name or None,
            "bytes": len(file.data),
            "sha256": sha256(targets[file.part.name]),
            "inputs": file.inputs,
            "outputs": list(file.part.outputs),
            "difference": file.difference,
        }
        for file in written
    ]
    document = {"schema": SCHEMA, "ok": True, **told, "opset": opset, "tolerance": TOLERANCE, "files": files}
    if talk.json:
        emit(document)
    say(talk, [f"wrote {file['path']}: differs from torch by {file['difference']:.1e}" for file in files])
