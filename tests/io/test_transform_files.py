"""Transform files, judged by the programs that they are written for: GDAL and SimpleITK."""

import json

import numpy as np
import pytest
import rasterio
import SimpleITK as sitk
import tifffile
from memory_source import MemorySource
from rasterio.transform import GCPTransformer
from rasterio.warp import Resampling, reproject

from xmatch.coords import pixel_centres
from xmatch.errors import InputError, OutputError
from xmatch.io.transform_files import TRANSFORM_WRITERS, read_transform
from xmatch.raster import Georef, Grid
from xmatch.resample import resample
from xmatch.transforms import DisplacementGrid, ThinPlateSpline, homography, similarity, translation

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

UTM = Georef(rasterio.crs.CRS.from_epsg(32632).to_wkt(), (10.0, 2.0, 500000.0, 1.0, -10.0, 4000000.0))
FIXED_SIZE, MOVING_SIZE = (100, 90), (80, 60)
TURN = similarity(17.0, 1.1, (12.0, -7.0))
HOMOGRAPHY = homography([[1.1, 0.1, 2], [0.05, 0.9, 5], [1e-3, 5e-4, 1]])
CONTROL = np.array([[0, 0], [80, 0], [80, 60], [0, 60], [40, 30]], float)
SPLINE = ThinPlateSpline(CONTROL, CONTROL + [[0, 0], [1, 2], [-2, 1], [0, 0], [3, -2]])
WAVES = DisplacementGrid.sampled(lambda xy: xy * 1.1 + 2 * np.sin(xy[:, ::-1] / 20), 80, 60, 5)
BENT = [HOMOGRAPHY, SPLINE, WAVES]


def hills(xy):
    return (3000 + 900 * np.sin(xy[..., 0] / 9) * np.cos(xy[..., 1] / 7) + 20 * xy[..., 0]).astype(np.float32)


def fixed_source(**header):
    return MemorySource(hills(pixel_centres(*FIXED_SIZE)), path="fixed.tif", **{"georef": UTM, **header})


def moving_file(tmp_path, **header):
    """The same picture in memory, as xmatch has it, and in a file, as other programs do."""
    pixels = hills(pixel_centres(*MOVING_SIZE))
    path = tmp_path / "moving.tif"
    tifffile.imwrite(path, pixels)
    return MemorySource(pixels, path=str(path), **header)


def warped(moving, transform, kernel="bilinear"):
    """What xmatch itself makes of it: pixels and validity on the fixed grid."""
    [block] = resample(moving, transform, Grid(*FIXED_SIZE), resampling=kernel)
    return block.pixels[0], block.valid


def inner(transform, margin=3):
    xy = transform.inverse(pixel_centres(*FIXED_SIZE))
    return ((xy > margin) & (xy < np.array(MOVING_SIZE) - margin)).all(axis=-1)


@pytest.mark.parametrize("kind", ["tfm", "displacement"])
@pytest.mark.parametrize("transform", [translation(3.25, -2), TURN, *BENT], ids=lambda t: t.kind)
def test_what_is_written_is_read(tmp_path, kind, transform):
    path = tmp_path / f"t.{'tfm' if kind == 'tfm' else 'tif'}"
    TRANSFORM_WRITERS[kind](path, transform, fixed_source(), moving_file(tmp_path))
    read = read_transform(path)
    fixed_xy = pixel_centres(*FIXED_SIZE)[inner(transform)]
    # Near its control points a spline bends more sharply than any lattice follows.
    assert np.abs(read.inverse(fixed_xy) - transform.inverse(fixed_xy)).max() < 0.04
    moving_xy = np.random.default_rng(0).uniform(3, np.array(MOVING_SIZE) - 3, (40, 2))
    moving_xy = moving_xy[((transform(moving_xy) > 0) & (transform(moving_xy) < FIXED_SIZE)).all(axis=1)]
    assert np.abs(read(moving_xy) - transform(moving_xy)).max() < 0.04


@pytest.mark.parametrize("spacings", [(None, None), ((2.0, 2.5), (3.1, 3.1)), ((2.0, 2.0), None)])
@pytest.mark.parametrize("transform", [TURN, *BENT], ids=lambda t: t.kind)
def test_simpleitk_resamples_as_xmatch_does(tmp_path, transform, spacings):
    """From files that SimpleITK opens itself, with whatever spacing it finds in them."""
    sources = []
    for name, size, spacing in zip(("fixed", "moving"), (FIXED_SIZE, MOVING_SIZE), spacings, strict=True):
        options = {"resolution": [1e4 / um for um in spacing], "resolutionunit": "CENTIMETER"} if spacing else {}
        pixels = hills(pixel_centres(*size))
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels, **options)
        sources.append(MemorySource(pixels, path=str(tmp_path / f"{name}.tif"), spacing_um=spacing))
    TRANSFORM_WRITERS["tfm"](tmp_path / "t.tfm", transform, *sources)
    fixed, moving = (sitk.ReadImage(str(tmp_path / f"{name}.tif")) for name in ("fixed", "moving"))
    itk = sitk.ReadTransform(str(tmp_path / "t.tfm"))
    got = sitk.GetArrayFromImage(sitk.Resample(moving, fixed, itk, sitk.sitkLinear, 0.0))
    expected, _ = warped(sources[1], transform)
    assert np.abs(got - expected)[inner(transform)].max() < 4  # 0.02 px where a px makes up to 120


def test_an_itk_transform_of_another_program_is_read(tmp_path):
    """ITK turns about a centre, fixed to moving, pixel centres on whole numbers."""
    itk = sitk.Euler2DTransform()
    itk.SetCenter((40, 30))
    itk.SetAngle(0.3)
    itk.SetTranslation((2.5, -1))
    sitk.WriteTransform(itk, str(tmp_path / "t.tfm"))
    fixed_index = np.array([[10.0, 20.0], [70.0, 5.0]])
    moving_index = np.array([itk.TransformPoint(point) for point in fixed_index.tolist()])
    assert np.allclose(read_transform(tmp_path / "t.tfm")(moving_index + 0.5), fixed_index + 0.5)


def test_a_bent_itk_transform_needs_to_know_where_it_holds(tmp_path):
    spline = sitk.BSplineTransform(2, 3)
    spline.SetTransformDomainPhysicalDimensions((100.0, 90.0))
    spline.SetTransformDomainMeshSize((4, 4))
    spline.SetParameters(np.random.default_rng(0).normal(0, 2, len(spline.GetParameters())).tolist())
    sitk.WriteTransform(spline, str(tmp_path / "t.tfm"))
    with pytest.raises(InputError, match="does not say where"):
        read_transform(tmp_path / "t.tfm")
    fixed_xy = np.array([[50.5, 40.5]])
    expected = np.array([spline.TransformPoint((50.0, 40.0))]) + 0.5
    assert np.allclose(read_transform(tmp_path / "t.tfm", FIXED_SIZE).inverse(fixed_xy), expected, atol=0.3)


@pytest.mark.parametrize("transform", [TURN, *BENT], ids=lambda t: t.kind)
def test_gdal_places_the_copy_with_control_points_where_xmatch_does(tmp_path, transform):
    moving = moving_file(tmp_path, bands=("amplitude",), nodata=-1.0)
    TRANSFORM_WRITERS["gcps"](tmp_path / "g.tif", transform, fixed_source(), moving)
    with rasterio.open(tmp_path / "g.tif") as file:
        gcps, crs = file.gcps
        assert crs.to_epsg() == 32632 and file.transform.is_identity
        assert np.array_equal(file.read(1), moving.pixels[0]) and file.descriptions == ("amplitude",)
    assert len(gcps) == (9 if transform is TURN else 144)
    moving_xy = np.random.default_rng(0).uniform(3, np.array(MOVING_SIZE) - 3, (40, 2))
    with GCPTransformer(gcps, tps=True) as gdal:
        xs, ys = gdal.xy(moving_xy[:, 1], moving_xy[:, 0], offset="ul")
    expected = np.column_stack([transform(moving_xy), np.ones(40)]) @ UTM.matrix.T
    assert np.abs(np.column_stack([xs, ys]) - expected[:, :2]).max() < 0.5  # of 10 m a px: 0.05 px


def test_control_points_need_a_ground(tmp_path):
    with pytest.raises(OutputError, match="CRS") as caught:
        TRANSFORM_WRITERS["gcps"](tmp_path / "g.tif", TURN, fixed_source(georef=None), moving_file(tmp_path))
    assert caught.value.hint and not (tmp_path / "g.tif").exists()


@pytest.mark.parametrize("georef", [UTM, None])
def test_gdal_warps_an_affine_vrt_as_xmatch_does(tmp_path, georef):
    moving = moving_file(tmp_path)
    TRANSFORM_WRITERS["vrt"](tmp_path / "v.vrt", TURN, fixed_source(georef=georef), moving)
    got = np.zeros((90, 100), np.float32)
    place = rasterio.Affine(*(georef.affine if georef else (1, 0, 0, 0, 1, 0)))
    with rasterio.open(tmp_path / "v.vrt") as file:
        assert np.array_equal(file.read(1), moving.pixels[0])
        crs = file.crs or rasterio.crs.CRS.from_epsg(32632)
        band = file.read(1)
        reproject(
            band, got, src_transform=file.transform, src_crs=crs, dst_transform=place, dst_crs=crs,
            resampling=Resampling.bilinear, tolerance=0,
        )  # fmt: skip
    expected, _ = warped(moving, TURN)
    assert np.abs(got - expected)[inner(TURN)].max() < 0.5


@pytest.mark.parametrize("georef", [UTM, None])
@pytest.mark.parametrize("transform", BENT, ids=lambda t: t.kind)
def test_a_bent_vrt_shows_what_xmatch_would_write(tmp_path, transform, georef):
    moving = moving_file(tmp_path)
    TRANSFORM_WRITERS["vrt"](tmp_path / "v.vrt", transform, fixed_source(georef=georef), moving)
    with rasterio.open(tmp_path / "v.vrt") as file:
        assert (file.width, file.height, file.count) == (*FIXED_SIZE, 2)
        assert file.colorinterp[1].name == "alpha"
        if georef:
            assert tuple(file.transform)[:6] == pytest.approx(UTM.affine) and file.crs.to_epsg() == 32632
        got, alpha = file.read()
    expected, valid = warped(moving, transform, "cubic")
    assert np.abs(got - expected)[inner(transform)].max() < 12  # 0.1 px where a px makes up to 120
    assert ((alpha > 0) == valid).mean() > 0.99


def test_a_vrt_still_finds_its_file_when_both_move(tmp_path):
    (tmp_path / "a").mkdir()
    moving = moving_file(tmp_path / "a")
    for name, transform in (("affine", TURN), ("bent", SPLINE)):
        TRANSFORM_WRITERS["vrt"](tmp_path / "a" / f"{name}.vrt", transform, fixed_source(), moving)
    (tmp_path / "a").rename(tmp_path / "b")
    for name in ("affine", "bent"):
        with rasterio.open(tmp_path / "b" / f"{name}.vrt") as file:
            assert file.read(1).max() > 3000


def test_a_vrt_of_a_page_that_gdal_does_not_open_is_refused(tmp_path):
    moving = moving_file(tmp_path, width=40)
    with pytest.raises(OutputError, match="another page"):
        TRANSFORM_WRITERS["vrt"](tmp_path / "v.vrt", TURN, fixed_source(), moving)
    assert not (tmp_path / "v.vrt").exists()


def test_a_displacement_grid_says_where_moving_shows_each_pixel(tmp_path):
    TRANSFORM_WRITERS["displacement"](tmp_path / "d.tif", HOMOGRAPHY, fixed_source(), moving_file(tmp_path))
    with rasterio.open(tmp_path / "d.tif") as file:
        assert file.descriptions == ("dx", "dy") and set(file.dtypes) == {"float32"}
        assert tuple(file.transform)[:6] == UTM.affine and file.shape == (90, 100)
        dx, dy = file.read()[:, 30, 41]
    [moving_xy] = HOMOGRAPHY.inverse(np.array([[41.5, 30.5]]))
    assert np.allclose((41.5 + dx, 30.5 + dy), moving_xy, atol=1e-4)


def test_a_large_displacement_grid_is_read_sparsely(tmp_path):
    fixed = MemorySource(np.zeros((1300, 2100), np.uint8), path="fixed.tif")
    moving = MemorySource(np.zeros((1300, 2100), np.uint8), path="moving.tif")
    TRANSFORM_WRITERS["displacement"](tmp_path / "d.tif", TURN, fixed, moving)
    read = read_transform(tmp_path / "d.tif")
    assert max(read.inverse.target_xy.shape[:2]) <= 1024
    far = np.array([[2099.0, 1299.0], [3.0, 2.0]])
    assert np.allclose(read.inverse(far), TURN.inverse(far), atol=1e-3)


@pytest.mark.parametrize("transform", [TURN, *BENT], ids=lambda t: t.kind)
def test_the_report_gives_its_transform_back(tmp_path, transform):
    data = {**transform.as_dict(), "direction": "moving_to_fixed", "pixel_origin": "corner"}
    (tmp_path / "r.json").write_text(json.dumps({"schema": "xmatch.registration/1", "transform": data}))
    points = np.random.default_rng(0).uniform(0, 60, (20, 2))
    assert np.array_equal(read_transform(tmp_path / "r.json")(points), transform(points))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.json", "{"),
        ("t.json", '{"transform": null}'),
        ("t.json", '{"transform": {"kind": "affine"}}'),
        ("t.json", '{"transform": {"kind": "affine", "direction": "fixed_to_moving"}}'),
        ("t.json", "[1]"),
        ("t.tfm", "not a transform"),
        ("t.tfm", ""),
        ("t.tif", "II*"),
        ("t.doc", ""),
    ],
)
def test_what_is_no_transform_is_refused(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError) as caught:
        read_transform(tmp_path / name)
    assert caught.value.path == str(tmp_path / name)


def test_a_three_dimensional_transform_is_refused(tmp_path):
    sitk.WriteTransform(sitk.Euler3DTransform(), str(tmp_path / "t.tfm"))
    with pytest.raises(InputError, match="3 dimensions"):
        read_transform(tmp_path / "t.tfm")


def test_an_ordinary_raster_is_no_displacement_grid(tmp_path):
    moving = moving_file(tmp_path)
    with pytest.raises(InputError, match="displacement"):
        read_transform(moving.header.path)


def field(displaced: np.ndarray, path, direction=(1.0, 0, 0, 1)):
    image = sitk.GetImageFromArray(displaced, isVector=True)
    image.SetDirection(direction)
    sitk.WriteTransform(sitk.DisplacementFieldTransform(image), str(path))
    return path


@pytest.mark.timeout(20)
def test_displacement_fields_that_make_no_map_are_refused(tmp_path):
    for shape in ((1, 5, 2), (5, 1, 2)):
        with pytest.raises(InputError, match="nodes"):
            read_transform(field(np.zeros(shape), tmp_path / "a.tfm"))
    for value in (np.nan, np.inf):
        displaced = np.zeros((4, 5, 2))
        displaced[2, 3, 1] = value
        with pytest.raises(InputError):
            read_transform(field(displaced, tmp_path / "a.tfm"))
    with pytest.raises(InputError, match="turned"):
        read_transform(field(np.zeros((4, 5, 2)), tmp_path / "a.tfm", direction=(0.0, 1, -1, 0)))


@pytest.mark.parametrize(
    "facts", ["", "{", "[]", "{}", '{"fixed": {"spacing": [0, 1], "size": [9, 9]}}', '{"fixed": 3}']
)
def test_a_comment_of_ours_that_is_garbled_is_refused(tmp_path, facts):
    TRANSFORM_WRITERS["tfm"](tmp_path / "a.tfm", TURN, fixed_source(), moving_file(tmp_path))
    first, _, *rest = (tmp_path / "a.tfm").read_text().split("\n")
    (tmp_path / "a.tfm").write_text("\n".join([first, f"# xmatch {facts}", *rest]))
    with pytest.raises(InputError):
        read_transform(tmp_path / "a.tfm")


@pytest.mark.parametrize("number", ["Infinity", "NaN", "1e999"])
def test_a_transform_of_numbers_that_are_not_finite_is_refused(tmp_path, number):
    for transform in (TURN, *BENT):
        told = json.dumps(transform.as_dict())
        (tmp_path / "a.json").write_text(told.replace("1.1", number).replace("0.0", number))
        with pytest.raises(InputError):
            read_transform(tmp_path / "a.json")
