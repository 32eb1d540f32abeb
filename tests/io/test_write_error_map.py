"""Expected errors as rasters: they lie where the fixed image lies, and say nothing where the images do not overlap."""

import numpy as np
import pytest
import rasterio
import tifffile

from xmatch.io.writing.error_map import MOST_PX, interpolated, write_error_map
from xmatch.raster import Georef, Grid
from xmatch.result import ErrorMap

UTM = Georef(rasterio.crs.CRS.from_epsg(32632).to_wkt(), (10.0, 0.0, 500000.0, 0.0, -10.0, 4000000.0))
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def made(ground_per_px: float | None = 10.0, unit: str | None = "m") -> ErrorMap:
    """1 to 4 px from left to right over 80 x 40 px from (10, 20) on; the last cell of the second row lies outside."""
    ce90 = np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, np.nan]])
    share = np.isfinite(ce90) / 7
    return ErrorMap((10.0, 20.0), (20.0, 20.0), ce90, np.zeros((2, 4), bool), share, 1.0, ground_per_px, unit)


def test_a_geotiff_lies_where_fixed_lies_in_px_and_in_metres(tmp_path):
    notes = write_error_map(tmp_path / "e.tif", made(), Grid(100, 90, UTM), final="e.tif")
    with rasterio.open(tmp_path / "e.tif") as file:
        assert file.crs.to_epsg() == 32632 and tuple(file.transform)[:6] == UTM.affine and file.shape == (90, 100)
        assert file.descriptions == ("ce90_px", "ce90_m") and file.units == ("px", "m") and np.isnan(file.nodata)
        px, metres = file.read()
    assert notes == ()
    np.testing.assert_allclose(metres, 10 * px, rtol=1e-5)
    assert px[30, 20] == pytest.approx(1.025) and px[30, 39] == pytest.approx(1.975)
    assert np.isfinite(px[20:40, 10:90]).all() and np.isfinite(px[40:60, 10:70]).all()
    assert np.isnan(px[:20]).all() and np.isnan(px[60:]).all() and np.isnan(px[40:60, 70:]).all()


def test_values_lie_between_those_of_the_cells_around():
    xy = np.array([[20.0, 30.0], [40.0, 30.0], [50.0, 40.0], [12.0, 58.0], [69.0, 50.0], [80.0, 50.0]])
    np.testing.assert_allclose(interpolated(made(), xy), [1.0, 2.0, 2.5, 1.0, 3.0, np.nan])


def test_of_a_large_image_every_kth_px_from_the_same_corner(tmp_path):
    width = 2 * MOST_PX + 2
    notes = write_error_map(tmp_path / "e.tif", made(), Grid(width, 600, UTM), final="e.tif")
    with rasterio.open(tmp_path / "e.tif") as file:
        assert file.shape == (200, -(-width // 3)) and tuple(file.transform)[:6] == (30, 0, 500000, 0, -30, 4000000)
        assert file.read(1)[9, 6] == pytest.approx(1.0, abs=0.05)
    assert "3 x 3 px" in notes[0]


def test_a_name_that_ends_in_ome_tif_makes_an_ome_tiff_with_the_spacing(tmp_path):
    grid = Grid(100, 90, spacing_um=(2.0, 2.0), medical=True)
    write_error_map(tmp_path / "temporary.tif", made(2.0, "um"), grid, final="e.ome.tif")
    with tifffile.TiffFile(tmp_path / "temporary.tif") as file:
        assert file.is_ome and "ce90_um" in file.ome_metadata and 'PhysicalSizeX="2.0"' in file.ome_metadata
        assert file.asarray().shape == (2, 90, 100) and np.isnan(file.asarray()[0, 0, 0])


def test_without_ground_there_is_one_band_and_without_a_map_nothing_in_it(tmp_path):
    write_error_map(tmp_path / "e.tif", made(None, None), Grid(100, 90), final="e.tif")
    notes = write_error_map(tmp_path / "none.tif", None, Grid(100, 90), final="none.tif")
    with rasterio.open(tmp_path / "e.tif") as file, rasterio.open(tmp_path / "none.tif") as empty:
        assert file.count == empty.count == 1 and file.crs is None
        assert np.isnan(empty.read()).all() and "nothing is known" in notes[0]
