"""`--dry-run`: what would be read and written, how large, after checking that it could be."""

from __future__ import annotations

from typing import Any

from xmatch.cli.one_pair import Settings
from xmatch.cli.outputs import Targets

SCHEMA = "xmatch.plan/1"


def plan(fixed: str, moving: str, targets: Targets, settings: Settings) -> dict[str, Any]:
    """The plan of one registration as JSON.

    Raises:
        XmatchError: what the run itself would fail with before its work starts.
    """
    options = settings.register_options()
    targets.check([fixed, moving, *settings.given.files], settings.writing)

    import numpy as np

    from xmatch.io import open_source
    from xmatch.raster import Grid
    from xmatch.registration.check_points import read_check_points
    from xmatch.registration.given_prior import given_prior
    from xmatch.registration.looked_at import looked_at

    with (
        open_source(fixed, settings.reading.of_fixed()) as fixed_source,
        open_source(moving, settings.reading.of_moving()) as moving_source,
        looked_at(fixed_source, moving_source, options) as (_, _, region),
    ):
        targets.check_files(fixed_source, moving_source, settings.writing)
        header = moving_source.header
        read_check_points(fixed_source.header, header, options)
        given_prior(fixed_source.header, header, options)
        # On moving's own sampling the size is only known with the transform; that of moving is the best guess.
        grid = Grid.of(fixed_source.header if settings.writing.grid == "fixed" else header)
        if settings.writing.crop_to_roi and region is not None:
            grid = grid.part(region)
        pixel_bytes = np.dtype(header.dtype).itemsize * len(header.bands)
        return {
            "schema": SCHEMA,
            "ok": True,
            "fixed": _facts(fixed_source.header),
            "moving": _facts(header),
            "grid": {"width": grid.width, "height": grid.height, "of": settings.writing.grid},
            "files": [str(path) for path in targets.paths(trusted=True)],
            "raster_bytes": grid.width * grid.height * pixel_bytes if targets.write_raster else 0,
            "max_memory_bytes": settings.reading.max_memory_bytes,
            "matcher": options.matcher,
            "transform": options.transform,
            "threads": options.threads,
        }


def plan_lines(planned: dict[str, Any]) -> list[str]:
    grid = planned["grid"]
    lines = [f"{word}: {_in_words(planned[word])}" for word in ("fixed", "moving")]
    lines.append(f"grid: {grid['width']} x {grid['height']} px, that of {grid['of']}")
    lines.append(f"matcher {planned['matcher']}, transform {planned['transform']}, {planned['threads']} threads")
    lines.append(f"memory: at most {planned['max_memory_bytes'] / 2**20:,.0f} MiB")
    lines.append(f"raster: {planned['raster_bytes'] / 2**20:,.1f} MiB before compression")
    return lines + [f"would write {path}" for path in planned["files"]]


def _facts(header: Any) -> dict[str, Any]:
    from xmatch.provenance import crs_name

    return {
        "path": header.path,
        "format": header.format,
        "width": header.width,
        "height": header.height,
        "bands": list(header.bands),
        "dtype": header.dtype,
        "crs": header.georef and crs_name(header.georef.crs_wkt),
        "spacing_um": header.spacing_um,
        "notes": list(header.notes),
    }


def _in_words(facts: dict[str, Any]) -> str:
    place = facts["crs"] or (f"{facts['spacing_um']} um a pixel" if facts["spacing_um"] else "no CRS")
    size = f"{facts['width']} x {facts['height']} px, {len(facts['bands'])} of {facts['dtype']}"
    return "; ".join([f"{facts['path']}: {size}, {facts['format']}, {place}", *facts["notes"]])
