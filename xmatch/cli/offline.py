"""`--offline`: no request leaves this process or its children, whichever library would make it.

Readers and downloaders that know such a flag are given it (`ReadOptions.offline`, `xmatch.synth.learned`), so that they
can say what is missing. This is the net under them, for what takes its orders from the environment alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_NOBODY = "http://127.0.0.1:9"
"""A proxy that nobody answers at: the port of the discard service. By number: looking up a name is a request too."""

_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy")

SETTINGS: dict[str, str | None] = {
    # huggingface_hub, transformers and diffusers
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    # Grids of datum shifts, which PROJ fetches when the user has told it to
    "PROJ_NETWORK": "OFF",
    # Everything else, by libcurl (GDAL), urllib (torch.hub), requests or httpx
    **{name: _NOBODY for proxy in _PROXIES for name in (proxy, proxy.upper())},
    # ... with no exceptions
    "no_proxy": None,
    "NO_PROXY": None,
}
"""Environment variable -> its value while offline; None: not set."""


@contextmanager
def no_network() -> Iterator[None]:
    """The environment of `SETTINGS`, and afterwards the one before."""
    before = {name: os.environ.get(name) for name in SETTINGS}
    _set(SETTINGS)
    try:
        yield
    finally:
        _set(before)


def _set(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
