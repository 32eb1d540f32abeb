"""Runs in AROSICS' own environment, without xmatch: python arosics_script.py FIXED MOVING OUTPUT

Writes the 3x3 matrix, moving px -> fixed px, that AROSICS' global shift amounts to; px corner-counted, as GDAL counts.
An empty list where it finds none: to say so is no failure of the program.
"""

from __future__ import annotations

import json
import sys


def matrix_3x3(geotransform):
    """Rows of the map px -> CRS units, from GDAL's six numbers."""
    x0, dx, rx, y0, ry, dy = geotransform
    return [[dx, rx, x0], [ry, dy, y0], [0.0, 0.0, 1.0]]


def main(fixed: str, moving: str, output: str) -> int:
    import numpy as np
    from arosics import COREG
    from osgeo import gdal

    coreg = COREG(fixed, moving, q=True, progress=False, ignore_errors=True)
    coreg.calculate_spatial_shifts()
    # It returns 'success' even after a failed match: only this says the truth.
    if not coreg.success:
        with open(output, "w") as file:
            json.dump([], file)
        return 0
    shift = coreg.coreg_info["corrected_shifts_map"]
    to_crs = [matrix_3x3(gdal.Open(path).GetGeoTransform()) for path in (fixed, moving)]
    moved = np.array([[1.0, 0.0, shift["x"]], [0.0, 1.0, shift["y"]], [0.0, 0.0, 1.0]])
    with open(output, "w") as file:
        json.dump({"matrix": (np.linalg.inv(to_crs[0]) @ moved @ to_crs[1]).tolist()}, file)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
