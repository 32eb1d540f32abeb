"""From a name or a path to a network that is ready to match."""

from __future__ import annotations

from importlib.resources import as_file, files

from xmatch.errors import ModelError, UsageError
from xmatch.io.checkpoints import load_state, load_weights
from xmatch.matchers.network import Network
from xmatch.models import XMatch, XMatchConfig

ARCHITECTURE = "xmatch"


def open_network(name: str, weights: str | None, device: str) -> Network:
    """The network of `name` with the weights that come with the package, or with those in the file `weights`.

    Args:
        device: "auto" (a CUDA device if there is one), "cpu", "cuda" or "cuda:N".

    Raises:
        ModelError: no such weights, damaged ones, or ones of another architecture.
        UsageError: no such device.
    """
    if weights is not None:
        return _loaded(weights, device)
    shipped = files("xmatch") / "weights" / f"{name}.safetensors"
    if not shipped.is_file():
        raise ModelError(f"no weights for {name} come with the package", hint="--weights PATH, or xmatch pretrain")
    with as_file(shipped) as path:
        return _loaded(path, device)


def _loaded(path, device: str) -> Network:
    import torch

    state, metadata = load_weights(path)
    if metadata.architecture != ARCHITECTURE:
        found = metadata.architecture or "an unknown architecture"
        raise ModelError(f"holds weights of {found}, not of {ARCHITECTURE}", hint="xmatch models info", path=path)
    try:
        config = XMatchConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in metadata.config.items()})
    except (TypeError, ValueError) as error:
        raise ModelError(f"its configuration cannot be used: {error}", path=path) from error
    with torch.device("meta"):
        model = XMatch(config)
    model.to_empty(device="cpu")
    load_state(
        model, {name: value.float() if value.is_floating_point() else value for name, value in state.items()}, path
    )
    return Network(model, resolved(device))


def resolved(device: str) -> str:
    """The device that "auto" stands for; any other name as it is, once torch knows it.

    Raises:
        UsageError: not a device, or one that this machine lacks.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"device {device!r} cannot be used: {error}".splitlines()[0], hint="auto, cpu or cuda[:N]"
        ) from error
    return device
