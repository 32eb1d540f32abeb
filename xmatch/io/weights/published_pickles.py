"""Weights as others publish them: pickles that torch wrote. Read without running anything that they carry.

A pickle is a program. torch's weights-only reader runs none of it but the building of tensors and plain containers;
what is refused here beyond that are files that claim far more numbers than they hold.
"""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmatch.errors import ModelError
from xmatch.io.checksum import sha256
from xmatch.io.weights.files import WeightsMetadata, load_weights, refuse_nan
from xmatch.io.weights.guard import weights_kind

if TYPE_CHECKING:
    from torch import Tensor

WRAPPERS = ("state_dict", "model", "weights", "model_state_dict", "net", "extractor")
"""Keys under which training code keeps the tensors, beside its optimiser and counters."""

PREFIXES = ("module.", "_orig_mod.", "matcher.", "model.")
"""What training frameworks and wrappers put before every name."""

HARMLESS = re.compile(
    r"(pytorch_lightning|lightning|lightning_fabric|omegaconf|yacs)\.(\w+\.)*[A-Z]\w*|argparse\.Namespace|pathlib\.\w*Path"
    r"|numpy\.(ndarray|dtype|dtypes\.\w+)|numpy\._?core\.multiarray\.(scalar|_reconstruct)"
)
"""Classes that checkpoints of training frameworks mention beside the tensors. An empty class takes their place; they
are never imported, let alone run."""

_MOST_EXPANSION = 20
"""Bytes of unpacked or claimed numbers per byte of file. Weights barely compress; a bomb reaches a thousand."""
_SLACK_BYTES = 2**20
_DEEPEST = 4


@dataclass(frozen=True, eq=False)
class Imported:
    """Tensors of a foreign file under the names that their network knows, and what was done to get there."""

    state_dict: dict[str, Tensor]
    sha256: str
    """Of the file."""
    wrappers: tuple[str, ...] = ()
    """Keys that were opened, outermost first."""
    prefixes: tuple[str, ...] = ()
    """Taken off every name, outermost first."""
    stand_ins: tuple[str, ...] = ()
    """Classes of training frameworks that were mentioned and left out."""
    infinite: tuple[str, ...] = ()
    """Tensors that hold infinities."""
    metadata: WeightsMetadata | None = None
    """What the file said about itself, if it was one of ours."""

    @property
    def notes(self) -> list[str]:
        """What a person should know, one sentence each."""
        notes = [f"tensors under {' > '.join(self.wrappers)!r}"] if self.wrappers else []
        notes += [f"taken off every name: {''.join(self.prefixes)!r}"] if self.prefixes else []
        notes += [f"left out, never loaded: {', '.join(self.stand_ins)}"] if self.stand_ins else []
        notes += [f"infinities in {', '.join(self.infinite)}"] if self.infinite else []
        return notes


def import_weights(path: str | os.PathLike[str]) -> Imported:
    """Read .ckpt, .pth, .pt or .safetensors as published, unwrap and rename.

    Raises:
        ModelError: missing, truncated, damaged, a pickle that wants more than tensors, a file that claims more numbers
            than it holds, tensors with NaN, or no tensors at all.
    """
    stand_ins: tuple[str, ...] = ()
    metadata = None
    if weights_kind(path) == "safetensors":
        content, stated = load_weights(path)
        metadata = stated if stated.architecture else None
    else:
        content, stand_ins = _unpickle(path)
    found, wrappers = _unwrap(content)
    tensors = {name: value for name, value in found.items() if isinstance(name, str) and _is_tensor(value)}
    if not tensors:
        keys = ", ".join(map(str, list(found)[:5])) if isinstance(found, Mapping) else type(found).__name__
        raise ModelError(f"holds no tensors where they were looked for; found {keys or 'nothing'}", path=path)
    _refuse_claims(tensors, path)
    refuse_nan(tensors, path)
    prefixes = common_prefixes(tensors)
    stem = sum(map(len, prefixes))
    state_dict = {name[stem:]: tensor.detach() for name, tensor in tensors.items()}
    return Imported(
        state_dict,
        sha256(path),
        tuple(wrappers),
        tuple(prefixes),
        stand_ins,
        tuple(name for name, x in state_dict.items() if x.is_floating_point() and bool(x.isinf().any())),
        metadata,
    )


def common_prefixes(names: Iterable[str]) -> list[str]:
    """The prefixes of `PREFIXES` that stand before all of the names, outermost first: ["matcher.", "model."]."""
    names = list(names)
    found: list[str] = []
    while names:
        prefix = next((p for p in PREFIXES if all(name.startswith(p) and name != p for name in names)), None)
        if prefix is None:
            break
        found.append(prefix)
        names = [name.removeprefix(prefix) for name in names]
    return found


def _unpickle(path: str | os.PathLike[str]) -> tuple[Any, tuple[str, ...]]:
    """The content of a file that torch wrote, and the classes that were left out of it."""
    import torch

    is_zip = weights_kind(path) == "torch zip"
    if is_zip:
        _refuse_archive(path)
    try:
        asked = torch.serialization.get_unsafe_globals_in_checkpoint(path) if is_zip else []
        refused = sorted(name for name in asked if not HARMLESS.fullmatch(name))
        if refused:
            raise _not_only_tensors(path, ", ".join(refused[:3]))
        # Fresh classes, so that torch takes them for these names and nothing of ours is reachable through them.
        stand_ins: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
            (type("StandIn", (_StandIn,), {}), name) for name in asked
        ]
        with torch.serialization.safe_globals(stand_ins):
            return torch.load(path, map_location="cpu", weights_only=True), tuple(sorted(asked))
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        if wanted:
            raise _not_only_tensors(path, wanted[1]) from None
        raise ModelError(f"cannot be read as weights: {_reason(error)}", path=path) from None
    except Exception as error:  # what a damaged pickle makes the reader raise is no closed set
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            f"is truncated or damaged, or not a checkpoint: {_reason(error)}", hint="get the file again", path=path
        ) from error


class _StandIn:
    """Takes whatever a pickle gives it and keeps nothing."""

    def __new__(cls, *values: object, **named: object) -> _StandIn:
        return super().__new__(cls)

    def __init__(self, *values: object, **named: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def _not_only_tensors(path: str | os.PathLike, wanted: str) -> ModelError:
    return ModelError(
        f"its pickle asks for {wanted} and could run code when opened; nothing of it was run",
        hint="get the weights as safetensors, or as a state_dict from someone you trust",
        path=path,
    )


def _refuse_archive(path: str | os.PathLike[str]) -> None:
    """Refuse a ZIP archive that is cut short, or unpacks to far more than its size."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise ModelError(f"is truncated or damaged: {_reason(error)}", hint="get the file again", path=path) from error
    _refuse_bomb(unpacked, "unpacks to", path)


def _refuse_claims(tensors: Mapping[str, Tensor], path: str | os.PathLike[str]) -> None:
    """Refuse tensors whose shapes claim more numbers than there are: one number may be repeated without end."""
    _refuse_bomb(sum(t.numel() * t.element_size() for t in tensors.values()), "claims tensors of", path)


def _refuse_bomb(wanted: int, verb: str, path: str | os.PathLike[str]) -> None:
    size = Path(path).stat().st_size
    if wanted > _MOST_EXPANSION * size + _SLACK_BYTES:
        message = f"{verb} {wanted / 2**30:,.1f} GiB in a file of {size / 2**20:,.1f} MiB"
        raise ModelError(message, hint="a damaged or hostile file", path=path)


def _unwrap(content: Any) -> tuple[Any, list[str]]:
    """The mapping that holds the tensors, and the keys that lead to it."""
    opened: list[str] = []
    for _ in range(_DEEPEST):
        if not isinstance(content, Mapping) or any(map(_is_tensor, content.values())):
            break
        inner = next((key for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = content[inner]
        opened.append(inner)
    return (content if isinstance(content, Mapping) else dict(_single(content))), opened


def _single(content: Any) -> Iterator[tuple[str, Any]]:
    if _is_tensor(content):
        yield "tensor", content


def _is_tensor(value: Any) -> bool:
    """Dense numbers in memory; sparse, quantised and empty-shell tensors are no weights of ours."""
    import torch

    return (
        isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and not value.is_quantized
        and value.device.type == "cpu"
    )


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
