"""Transform files, judged by the programs that they are written for: GDAL and SimpleITK."""

import json
import re
import struct

import numpy as np
import pytest
import rasterio
import SimpleITK as sitk
import tifffile
from memory_source import MemorySource
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.transform import GCPTransformer

from xmatch.coords import pixel_centres
from xmatch.errors import InputError, OutputError
from xmatch.geometry import DisplacementGrid, ThinPlateSpline, homography, similarity, translation
from xmatch.io import ReadOptions, open_source
from xmatch.io.transforms.files import TRANSFORM_WRITERS, read_transform
from xmatch.io.transforms.gcps import spline_points
from xmatch.io.transforms.lattice import backward_lattice
from xmatch.io.transforms.vrt import write_vrt
from xmatch.raster import Georef, Grid
from xmatch.resampling.resample import resample

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


def picture_file(path, size, **header):
    """The same picture in memory, as xmatch has it, and in a file, as other programs do."""
    pixels = hills(pixel_centres(*size))
    tifffile.imwrite(path, pixels)
    return MemorySource(pixels, path=str(path), **header)


def moving_file(tmp_path, **header):
    return picture_file(tmp_path / "moving.tif", MOVING_SIZE, **header)


def fixed_file(tmp_path, **header):
    return picture_file(tmp_path / "fixed.tif", FIXED_SIZE, **header)


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
    TRANSFORM_WRITERS[kind](path, transform, fixed_file(tmp_path), moving_file(tmp_path))
    read = read_transform(path)
    fixed_xy = pixel_centres(*FIXED_SIZE)[inner(transform)]
    # Near its control points a spline bends more sharply than any lattice follows.
    assert np.abs(read.inverse(fixed_xy) - transform.inverse(fixed_xy)).max() < 0.04
    moving_xy = np.random.default_rng(0).uniform(3, np.array(MOVING_SIZE) - 3, (40, 2))
    moving_xy = moving_xy[((transform(moving_xy) > 0) & (transform(moving_xy) < FIXED_SIZE)).all(axis=1)]
    assert np.abs(read(moving_xy) - transform(moving_xy)).max() < 0.04


def test_a_lattice_lies_where_a_spline_comes_from_and_a_finer_one_starts_at_a_coarser_one(monkeypatch):
    rng, size = np.random.default_rng(3), 300
    control = rng.uniform(0, size, (60, 2))
    spline = ThinPlateSpline(control, control + 5 * np.sin(control[:, ::-1] / 40))
    lattice, _ = backward_lattice(spline, Grid(size, size))
    nodes = lattice.nodes_xy.reshape(-1, 2)
    true = spline.inverse(nodes)
    assert len(nodes) > 5000 and np.abs(lattice.target_xy.reshape(-1, 2) - true).max() < 0.01

    ask, asked = ThinPlateSpline.__call__, []
    monkeypatch.setattr(ThinPlateSpline, "__call__", lambda self, xy: asked.append(len(xy)) or ask(self, xy))
    spline.inverse(nodes)
    from_afar = sum(asked)
    backward_lattice(spline, Grid(size, size))
    # Coarser lattices and all checks included: 1.6 times as many, and 2.7 times where each starts from afar.
    assert sum(asked) - from_afar < 1.8 * from_afar


def geotiff(path, pixels, **tags):
    profile = {"driver": "GTiff", "width": pixels.shape[1], "height": pixels.shape[0], "count": 1, "dtype": "float32"}
    with rasterio.open(path, "w", crs=UTM.crs_wkt, transform=rasterio.Affine(*UTM.affine), **profile) as file:
        file.write(pixels, 1)
        file.update_tags(**tags)


SAVED = {
    "without any": tifffile.imwrite,
    "per cm": lambda path, pixels: tifffile.imwrite(path, pixels, resolution=(4, 5), resolutionunit="CENTIMETER"),
    "300 dpi": lambda path, pixels: tifffile.imwrite(path, pixels, resolution=(300, 300), resolutionunit="INCH"),
    "no unit": lambda path, pixels: tifffile.imwrite(path, pixels, resolution=(72, 72), resolutionunit="NONE"),
    "imagej": lambda path, pixels: tifffile.imwrite(
        path, pixels, imagej=True, resolution=(2, 2), metadata={"unit": "um"}
    ),
    "ome": lambda path, pixels: tifffile.imwrite(
        path, pixels, ome=True, metadata={"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    ),
    "geotiff": geotiff,
    "geotiff with dpi": lambda path, pixels: geotiff(
        path, pixels, TIFFTAG_XRESOLUTION="150", TIFFTAG_YRESOLUTION="150", TIFFTAG_RESOLUTIONUNIT="2"
    ),
}
"""Files whose pixels lie here and there in space, and there are programs that read each in another way."""


def saved(path, how, size):
    SAVED[how](path, hills(pixel_centres(*size)))
    return open_source(path)


@pytest.mark.parametrize("how", SAVED)
@pytest.mark.parametrize("transform", [TURN, SPLINE], ids=lambda t: t.kind)
def test_simpleitk_resamples_as_xmatch_does(tmp_path, transform, how):
    """From files that SimpleITK opens itself, with whatever spacing it finds in them, and fixed's is another one."""
    names = tmp_path / "fixed.tif", tmp_path / "moving.tif"
    other = "without any" if how == "per cm" else "per cm"
    with saved(names[0], other, FIXED_SIZE) as fixed, saved(names[1], how, MOVING_SIZE) as moving:
        TRANSFORM_WRITERS["tfm"](tmp_path / "t.tfm", transform, fixed, moving)
        expected, _ = warped(moving, transform)
    images = [sitk.ReadImage(str(name)) for name in names]
    itk = sitk.ReadTransform(str(tmp_path / "t.tfm"))
    got = sitk.GetArrayFromImage(sitk.Resample(images[1], images[0], itk, sitk.sitkLinear, 0.0))
    assert np.abs(got - expected)[inner(transform)].max() < 4  # 0.02 px where a px makes up to 120


def test_a_photograph_with_dpi_lands_in_its_place(tmp_path):
    import cv2

    pixels = hills(pixel_centres(*MOVING_SIZE)) / 6000 * 255
    data = cv2.imencode(".jpg", pixels.astype(np.uint8))[1].tobytes()
    jfif = struct.pack(">HH5sHBHHBB", 0xFFE0, 16, b"JFIF\0", 0x102, 1, 300, 300, 0, 0)
    (tmp_path / "m.jpg").write_bytes(data[:2] + jfif + data[4 + struct.unpack(">H", data[4:6])[0] :])
    with open_source(tmp_path / "m.jpg") as moving:
        TRANSFORM_WRITERS["tfm"](tmp_path / "t.tfm", TURN, fixed_file(tmp_path), moving)
    image = sitk.ReadImage(str(tmp_path / "m.jpg"))
    assert image.GetSpacing() == pytest.approx((25.4 / 300, 25.4 / 300))
    point = sitk.ReadTransform(str(tmp_path / "t.tfm")).TransformPoint((50.0, 40.0))
    index = image.TransformPhysicalPointToContinuousIndex(point)
    assert np.allclose(np.array(index) + 0.5, TURN.inverse(np.array([50.5, 40.5])), atol=1e-4)


def test_a_slice_of_a_volume_has_the_spacing_of_the_volume(tmp_path):
    volume = np.stack([hills(pixel_centres(*MOVING_SIZE))] * 3)
    metadata = {"axes": "ZYX", "PhysicalSizeX": 2.0, "PhysicalSizeY": 2.0}
    resolution = {"resolution": (5e3, 5e3), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(tmp_path / "m.ome.tif", volume, metadata=metadata, **resolution)
    with open_source(tmp_path / "m.ome.tif") as moving:
        TRANSFORM_WRITERS["tfm"](tmp_path / "t.tfm", TURN, fixed_file(tmp_path), moving)
        expected, _ = warped(moving, TURN)
    image, fixed = sitk.ReadImage(str(tmp_path / "m.ome.tif")), sitk.ReadImage(str(tmp_path / "fixed.tif"))
    itk = sitk.ReadTransform(str(tmp_path / "t.tfm"))
    plane = image[:, :, 0] if image.GetDimension() == 3 else image
    got = sitk.GetArrayFromImage(sitk.Resample(plane, fixed, itk, sitk.sitkLinear, 0.0))
    assert np.abs(got - expected)[inner(TURN)].max() < 4


def test_an_itk_transform_says_what_it_counts_in(tmp_path):
    with saved(tmp_path / "m.tif", "300 dpi", MOVING_SIZE) as moving:
        TRANSFORM_WRITERS["tfm"](tmp_path / "t.tfm", TURN, fixed_file(tmp_path), moving)
    comment = (tmp_path / "t.tfm").read_text().splitlines()[1]
    facts = json.loads(comment.removeprefix("# xmatch "))
    assert "mm as SimpleITK reads" in facts["maps"]
    assert facts["fixed"]["spacing"] == [1, 1] and facts["moving"]["spacing"] == pytest.approx([25.4 / 300] * 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"extratags": [(274, "H", 1, 3, True)]}, "orientation 3"),
        ({"dtype": np.complex64}, "does not open"),
        ({"page": 1}, "another page"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_no_itk_transform_for_a_file_that_simpleitk_reads_otherwise(tmp_path, options, message):
    pixels = hills(pixel_centres(*MOVING_SIZE)).astype(options.pop("dtype", np.float32))
    page = options.pop("page", 0)
    with tifffile.TiffWriter(tmp_path / "m.tif") as tiff:
        tiff.write(pixels, **options)
        if page:
            tiff.write(pixels[:50], **options)
    with open_source(tmp_path / "m.tif", ReadOptions(series=page or None)) as moving:
        with pytest.raises(OutputError, match=message) as caught:
            TRANSFORM_WRITERS["tfm"](tmp_path / "t.tfm", TURN, fixed_file(tmp_path), moving)
    assert caught.value.hint and not (tmp_path / "t.tfm").exists()


def test_a_transform_of_another_program_counts_as_simpleitk_reads_the_images(tmp_path):
    itk = sitk.TranslationTransform(2, (25.4, 0.0))  # mm
    sitk.WriteTransform(itk, str(tmp_path / "t.tfm"))
    names = tmp_path / "f.tif", tmp_path / "m.tif"
    with saved(names[0], "300 dpi", FIXED_SIZE) as fixed, saved(names[1], "300 dpi", MOVING_SIZE) as moving:
        read = read_transform(tmp_path / "t.tfm", fixed.header, moving.header)
    assert np.allclose(read(np.array([[310.0, 7.0]])), [[10.0, 7.0]])


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
    assert np.allclose(read_transform(tmp_path / "t.tfm", fixed_source().header).inverse(fixed_xy), expected, atol=0.3)


@pytest.mark.parametrize("transform", [TURN, *BENT], ids=lambda t: t.kind)
def test_gdal_places_the_copy_with_control_points_where_xmatch_does(tmp_path, transform):
    moving = moving_file(tmp_path, bands=("amplitude",), nodata=-1.0)
    TRANSFORM_WRITERS["gcps"](tmp_path / "g.tif", transform, fixed_source(), moving)
    with rasterio.open(tmp_path / "g.tif") as file:
        gcps, crs = file.gcps
        assert crs.to_epsg() == 32632 and file.transform.is_identity
        assert np.array_equal(file.read(1), moving.pixels[0]) and file.descriptions == ("amplitude",)
    assert len(gcps) == 9 if transform is TURN else 144 <= len(gcps) <= 1600
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
@pytest.mark.parametrize("transform", [TURN, *BENT], ids=lambda t: t.kind)
def test_a_vrt_shows_what_xmatch_would_write_on_the_grid_of_fixed(tmp_path, transform, georef):
    moving = moving_file(tmp_path)
    TRANSFORM_WRITERS["vrt"](tmp_path / "v.vrt", transform, fixed_source(georef=georef), moving)
    with rasterio.open(tmp_path / "v.vrt") as file:
        assert (file.width, file.height, file.count) == (*FIXED_SIZE, 1)
        if georef:
            assert tuple(file.transform)[:6] == pytest.approx(UTM.affine) and file.crs.to_epsg() == 32632
        got, shown = file.read(1), file.dataset_mask() > 0
    expected, valid = warped(moving, transform, "cubic")
    assert np.abs(got - expected)[inner(transform)].max() < 12  # 0.1 px where a px makes up to 120
    assert (shown == valid).mean() > 0.99


@pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
def test_a_vrt_interpolates_as_asked(tmp_path, resampling):
    moving = moving_file(tmp_path)
    write_vrt(tmp_path / "v.vrt", TURN, fixed_source(), moving, resampling=resampling)
    with rasterio.open(tmp_path / "v.vrt") as file:
        got = file.read(1)
    expected, _ = warped(moving, TURN, resampling)
    assert (np.abs(got - expected)[inner(TURN)] < 1).mean() > 0.99


def test_a_vrt_masks_the_value_that_the_user_named(tmp_path):
    moving = moving_file(tmp_path, nodata=-7.0)
    write_vrt(tmp_path / "v.vrt", translation(50, 0), fixed_source(), moving)
    with rasterio.open(tmp_path / "v.vrt") as file:
        assert file.count == 1 and file.nodata == -7 and (file.read(1)[:, :48] == -7).all()


@pytest.mark.parametrize("how", ["alpha", "internal mask", "nan", "nodata"])
def test_a_vrt_is_empty_where_the_raster_is(tmp_path, how):
    pixels = hills(pixel_centres(*MOVING_SIZE)).astype("float32" if how == "nan" else "uint16")
    hole = np.zeros(pixels.shape, bool)
    hole[10:30, 20:50] = True
    alpha = how == "alpha"
    profile = {"driver": "GTiff", "width": 80, "height": 60, "dtype": pixels.dtype, "count": 1 + alpha}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(tmp_path / "m.tif", "w", **profile) as file:
        file.write(np.where(hole, {"nan": np.nan, "nodata": 7}.get(how, pixels), pixels).astype(pixels.dtype), 1)
        if alpha:
            file.write(np.where(hole, 0, 65535).astype(np.uint16), 2)
            file.colorinterp = ColorInterp.gray, ColorInterp.alpha
        elif how == "internal mask":
            file.write_mask(~hole)
        elif how == "nodata":
            file.nodata = 7
    with open_source(tmp_path / "m.tif") as moving:
        write_vrt(tmp_path / "v.vrt", TURN, fixed_source(), moving)
        [block] = resample(moving, TURN, Grid(*FIXED_SIZE))
    with rasterio.open(tmp_path / "v.vrt") as file:
        shown = file.dataset_mask() > 0
    valid = block.valid.reshape(-1, *shown.shape)[0]
    assert (shown == valid).mean() > 0.98 and not valid.all()


def test_a_vrt_of_pixels_that_gdal_does_not_show_is_refused(tmp_path):
    moving = moving_file(tmp_path)
    tifffile.imwrite(moving.header.path, moving.pixels[0, ::-1])  # as another page of the same size would be
    with pytest.raises(OutputError, match="other pixels"):
        TRANSFORM_WRITERS["vrt"](tmp_path / "v.vrt", TURN, fixed_source(), moving)


ROUGH = DisplacementGrid.sampled(lambda xy: xy + 1.5 * np.sin(xy[:, ::-1] / 1.7), 80, 60, 2)
"""It bends more often than there are control points."""


@pytest.mark.parametrize("kind", ["gcps", "vrt"])
def test_an_approximation_says_by_how_much(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("xmatch.io.transforms.gcps._MOST", 400)  # GDAL solves for them with each call below
    moving, path = moving_file(tmp_path), tmp_path / f"a.{'vrt' if kind == 'vrt' else 'tif'}"
    [note] = TRANSFORM_WRITERS[kind](path, ROUGH, fixed_source(), moving)
    told = float(re.search(r"within ([0-9.e-]+) px", note)[1])
    moving_xy, fixed_xy, _ = spline_points(ROUGH, *MOVING_SIZE)
    points = [
        GroundControlPoint(row=y, col=x, x=to_x, y=to_y)
        for (x, y), (to_x, to_y) in zip(moving_xy, fixed_xy, strict=True)
    ]
    probe = np.random.default_rng(5).uniform(0, MOVING_SIZE, (300, 2))
    with GCPTransformer(points, tps=True) as gdal:
        rows, columns = gdal.rowcol(*ROUGH(probe).T, op=float)
    miss = np.hypot(columns - probe[:, 0], rows - probe[:, 1])
    assert 0.3 < miss.max() < 1.5 * told and told < 3
    with rasterio.open(path) as file:
        assert str(told) in "".join(file.tags().values())


@pytest.mark.parametrize("kind", ["gcps", "vrt"])
def test_an_affine_map_is_said_exactly(tmp_path, kind):
    path = tmp_path / f"a.{'vrt' if kind == 'vrt' else 'tif'}"
    assert TRANSFORM_WRITERS[kind](path, TURN, fixed_source(), moving_file(tmp_path)) == ()


def test_splines_through_control_points_are_asked_for(tmp_path):
    [note] = TRANSFORM_WRITERS["gcps"](tmp_path / "g.tif", SPLINE, fixed_source(), moving_file(tmp_path))
    with rasterio.open(tmp_path / "g.tif") as file:
        assert "gdalwarp -tps" in note and "gdalwarp -tps" in file.tags()["XMATCH_GCPS"]


def test_a_vrt_still_finds_its_file_when_both_move(tmp_path):
    (tmp_path / "a").mkdir()
    moving = moving_file(tmp_path / "a")
    for name, transform in (("affine", TURN), ("bent", SPLINE)):
        TRANSFORM_WRITERS["vrt"](tmp_path / "a" / f"{name}.vrt", transform, fixed_source(), moving)
    (tmp_path / "a").rename(tmp_path / "b")
    for name in ("affine", "bent"):
        with rasterio.open(tmp_path / "b" / f"{name}.vrt") as file:
            assert np.nanmax(file.read(1)) > 3000


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
    TRANSFORM_WRITERS["tfm"](tmp_path / "a.tfm", TURN, fixed_file(tmp_path), moving_file(tmp_path))
    first, _, *rest = (tmp_path / "a.tfm").read_text().split("\n")
    (tmp_path / "a.tfm").write_text("\n".join([first, f"# xmatch {facts}", *rest]))
    with pytest.raises(InputError, match="garbled"):
        read_transform(tmp_path / "a.tfm")


@pytest.mark.parametrize("number", ["Infinity", "NaN", "1e999"])
def test_a_transform_of_numbers_that_are_not_finite_is_refused(tmp_path, number):
    for transform in (TURN, *BENT):
        told = json.dumps(transform.as_dict())
        (tmp_path / "a.json").write_text(told.replace("1.1", number).replace("0.0", number))
        with pytest.raises(InputError):
            read_transform(tmp_path / "a.json")
