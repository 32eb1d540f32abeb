"""Two views of a scene with depth: correspondences on epipolar lines, whatever their distance."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from made_views import scene

from xmatch.errors import UsageError
from xmatch.io import open_source
from xmatch.registration.epipolar import match_with_depth
from xmatch.registration.options import RegisterOptions

SIFT = RegisterOptions(matcher="sift", threads=1)
"""A matcher with correspondences of its own."""


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    """Paths of two views: what stands in the lower half is nearer, and moves three times as far to the right."""
    folder, rng = tmp_path_factory.mktemp("views"), np.random.default_rng(2)
    image = np.rint(255 * scene(360, 300)).astype(np.uint8) // 2 + rng.integers(0, 120, (300, 360), dtype=np.uint8)
    far, near = image[:150, 30:330], image[150:, 30:330]
    moved = np.vstack([image[:150, 18:318], image[150:, 0:300]])
    for name, pixels in (("fixed", np.vstack([far, near])), ("moving", moved)):
        tifffile.imwrite(folder / f"{name}.tif", pixels)
    return folder / "fixed.tif", folder / "moving.tif"


def matched(paths, options=SIFT, geometry="fundamental", focal_px=None):
    with open_source(paths[0]) as fixed, open_source(paths[1]) as moving:
        return match_with_depth(fixed, moving, options, geometry, focal_px)


def test_both_distances_are_inliers_where_a_map_has_one_of_them(views):
    found = matched(views)
    shift = (found.correspondences.moving_xy - found.correspondences.fixed_xy)[found.inliers]
    assert found.verdict.accepted and found.transform is None and np.isnan(found.verdict.probability)
    assert (np.abs(shift - (12, 0)) < 1).all(axis=1).sum() > 15 and (np.abs(shift - (30, 0)) < 1).all(axis=1).sum() > 15
    assert "lie on the lines of one fundamental matrix" in found.verdict.reason
    assert any("no map of the plane" in note for note in found.notes)


def test_an_image_and_noise_show_no_geometry(views, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (300, 300), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "noise.tif", noise)
    assert not matched((views[0], tmp_path / "noise.tif")).verdict.accepted


def test_an_essential_matrix_wants_focal_lengths_and_a_matcher_single_places(views):
    assert matched(views, geometry="essential", focal_px=(400.0, 400.0)).provenance["matrix"] is not None
    for geometry, focal_px in (("essential", None), ("fundamental", (400.0, 400.0))):
        with pytest.raises(UsageError, match="focal"):
            matched(views, geometry=geometry, focal_px=focal_px)
    with pytest.raises(UsageError, match="structural finds whole maps"):
        matched(views, RegisterOptions(matcher="structural", threads=1))
