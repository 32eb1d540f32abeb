"""Find corresponding pixels between images from different sensors, and register one onto the other.

    import xmatch

    with xmatch.open_source("optical.tif") as fixed, xmatch.open_source("sar.tif") as moving:
        registration = xmatch.register(fixed, moving)
    print(registration.verdict.reason)

The names below are loaded when they are first used: importing xmatch costs nothing and never imports torch.
"""

from importlib import import_module

from xmatch._version import __version__

_HOMES = {
    "Correspondences": "xmatch.correspondences",
    "ExitCode": "xmatch.errors",
    "Georef": "xmatch.raster",
    "Raster": "xmatch.raster",
    "RegisterOptions": "xmatch.registration.options",
    "Registration": "xmatch.result",
    "Transform": "xmatch.geometry",
    "Verdict": "xmatch.result",
    "XmatchError": "xmatch.errors",
    "open_source": "xmatch.io",
    "register": "xmatch.registration.pipeline",
    "transform_from_dict": "xmatch.geometry",
}
"""Public name -> the module that defines it."""

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # next time it is found at once
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
