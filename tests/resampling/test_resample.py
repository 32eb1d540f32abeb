"""What the resampled pixels are, checked against functions whose value is known everywhere."""

import cv2
import numpy as np
import pytest
from memory_source import MemorySource

from xmatch.coords import pixel_centres
from xmatch.errors import UsageError
from xmatch.geometry import DisplacementGrid, ThinPlateSpline, homography, similarity, translation
from xmatch.raster import Georef, Grid
from xmatch.resampling.kernels import KERNELS
from xmatch.resampling.resample import moving_grid, resample

TURN = similarity(17.0, 1.1, (12.0, -7.0))


def ramp(xy):
    """A plane over px positions: right for every kernel that is centred where it says."""
    return 100 + 2 * xy[..., 0] + 3 * xy[..., 1]


def hills(xy):
    return 120 + 60 * np.sin(xy[..., 0] / 9) * np.cos(xy[..., 1] / 7) + xy[..., 0] / 4


def image(function, width=80, height=60, dtype=np.float64):
    return function(pixel_centres(width, height)).astype(dtype)


def whole(source, transform, grid, **options):
    """All blocks put together: pixels (C, H, W), valid (H, W) or, where bands differ, (C, H, W), clipped."""
    blocks = list(resample(source, transform, grid, **options))
    pixels = np.zeros((len(blocks[0].pixels), grid.height, grid.width), blocks[0].pixels.dtype)
    valid = np.zeros(pixels.shape, bool)
    seen = np.zeros(pixels.shape[1:], int)
    for block in blocks:
        height, width = block.valid.shape[1:]
        place = slice(block.y0, block.y0 + height), slice(block.x0, block.x0 + width)
        pixels[(slice(None), *place)], valid[(slice(None), *place)] = block.pixels, block.valid
        seen[place] += 1
    assert (seen == 1).all()
    shared = (valid == valid[0]).all()
    return pixels, valid[0] if shared else valid, sum(block.clipped for block in blocks)


def bend(width=80, height=60):
    control = np.array([[0, 0], [width, 0], [width, height], [0, height], [width / 2, height / 2]], float)
    return ThinPlateSpline(control, control + [[0, 0], [1, 2], [-2, 1], [0, 0], [5, -4]])


def curved_grid():
    return DisplacementGrid.sampled(lambda xy: xy + 2 * np.sin(xy[:, ::-1] / 11), 80, 60, 5)


@pytest.mark.parametrize("kernel", ["bilinear", "cubic", "lanczos"])
@pytest.mark.parametrize(
    "transform",
    [translation(3.25, -2.6), TURN, homography([[1, 0.1, 2], [0, 0.9, 5], [1e-3, 5e-4, 1]]), bend(), curved_grid()],
    ids=lambda transform: transform.kind,
)
def test_a_value_lies_where_the_transform_says(kernel, transform):
    pixels, valid, _ = whole(MemorySource(image(ramp)), transform, Grid(80, 60), resampling=kernel)
    moving_xy = transform.inverse(pixel_centres(80, 60))
    inner = valid & ((moving_xy > 3) & (moving_xy < (77, 57))).all(axis=-1)
    assert inner.sum() > 1000
    # Lanczos wobbles on a ramp by itself; a bent map may be off by 0.02 px, which 5 grey values a px make 0.1.
    tolerance = 0.12 if kernel == "lanczos" or transform.matrix is None else 1e-6
    assert np.abs(pixels[0] - ramp(moving_xy))[inner].max() < tolerance


def test_a_pixel_is_valid_where_its_centre_falls_on_the_moving_image():
    _, valid, _ = whole(MemorySource(image(hills)), TURN, Grid(100, 90))
    moving_xy = TURN.inverse(pixel_centres(100, 90))
    assert np.array_equal(valid, ((moving_xy >= 0) & (moving_xy < (80, 60))).all(axis=-1))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "uint32", "int64", "float64"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_shift_by_whole_pixels_changes_no_value(dtype, kernel):
    source = MemorySource(image(hills, dtype=dtype))
    pixels, valid, _ = whole(source, translation(5, -3), Grid(80, 60), resampling=kernel)
    assert pixels.dtype == dtype
    assert np.array_equal(pixels[0, :57, 5:], source.pixels[0, 3:, :75])
    assert valid[:57, 5:].all() and not valid[57:].any() and not valid[:, :5].any()


@pytest.mark.parametrize("transform", [TURN, bend(1400, 1100)], ids=["linear", "bent"])
@pytest.mark.parametrize("options", [{"block_px": 128}, {"threads": 3, "block_px": 256}, {"max_memory_bytes": 300_000}])
def test_blocks_threads_and_memory_do_not_show(transform, options):
    rng = np.random.default_rng(1)
    moving = MemorySource(rng.integers(0, 65535, (2, 1100, 1400), dtype=np.uint16), rng.random((1100, 1400)) > 0.05)
    grid = Grid(1200, 1060)
    expected = whole(moving, transform, grid, block_px=512)
    for got, want in zip(whole(moving, transform, grid, **options), expected, strict=True):
        assert np.array_equal(got, want)


@pytest.mark.parametrize("kernel", ["bilinear", "cubic", "lanczos"])
def test_no_data_never_leaks(kernel):
    """A flat image stays flat beside a hole of 60000, however the kernel swings."""
    pixels = np.full((60, 80), 100, np.uint16)
    valid = np.ones((60, 80), bool)
    pixels[20:30, 30:41], valid[20:30, 30:41] = 60000, False
    values, inside, _ = whole(MemorySource(pixels, valid), TURN, Grid(80, 60), resampling=kernel)
    assert set(np.unique(values[0][inside])) == {100}
    assert (values[0][~inside] == 0).all()


@pytest.mark.parametrize("options", [{}, {"threads": 2, "block_px": 128}, {"max_memory_bytes": 200_000}])
@pytest.mark.parametrize("shrink", [1.0, 0.45])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_band_of_a_stack_comes_out_as_it_does_alone(kernel, shrink, options):
    """Its own holes are its own: neither wider nor narrower for those of its neighbours."""
    rng = np.random.default_rng(3)
    stack = rng.integers(0, 60000, (3, 300, 400), dtype=np.uint16)
    masks = np.stack([cv2.blur(rng.random((300, 400)), (25, 25)) > 0.5 - share for share in (0.0, 0.02, 0.04)])
    transform, grid = similarity(17.0, shrink, (12.0, -7.0)), Grid(330, 300)
    together, valid, _ = whole(MemorySource(stack, masks), transform, grid, resampling=kernel, **options)
    for band, mask in enumerate(masks):
        alone = whole(MemorySource(stack[band], mask), transform, grid, resampling=kernel)
        assert np.array_equal(together[band], alone[0][0]) and np.array_equal(valid[band], alone[1])


def test_values_beyond_the_dtype_are_cut_and_counted():
    step = np.zeros((60, 80), np.uint8)
    step[:, 40:] = 255
    pixels, _, clipped = whole(MemorySource(step), translation(0.5, 0), Grid(80, 60), resampling="cubic")
    overshooting = whole(MemorySource(step.astype(np.float32)), translation(0.5, 0), Grid(80, 60))[0]
    assert clipped == ((overshooting < -0.5) | (overshooting > 255.5)).sum() > 0
    assert pixels.min() == 0 and pixels.max() == 255


def test_a_much_finer_moving_image_is_averaged_not_picked_from():
    """Stripes of one pixel become grey; picking every fourth pixel would leave them black or white."""
    stripes = np.zeros((242, 323), np.float32)
    stripes[:, ::2] = 200
    shrink = similarity(0, 0.25)
    pixels, valid, _ = whole(MemorySource(stripes), shrink, Grid(81, 61))
    assert valid[:60, :80].all()
    assert np.abs(pixels[0, :60, :80] - 100).max() < 1e-3


def test_averaging_keeps_positions():
    pixels, valid, _ = whole(MemorySource(image(ramp, 323, 242)), similarity(9, 0.2, (3, 4)), Grid(60, 60))
    moving_xy = similarity(9, 0.2, (3, 4)).inverse(pixel_centres(60, 60))
    inner = valid & ((moving_xy > 16) & (moving_xy < (307, 226))).all(axis=-1)
    assert np.abs(pixels[0] - ramp(moving_xy))[inner].max() < 1e-6


def test_labels_are_taken_as_they_are():
    rng = np.random.default_rng(0)
    table = {i: (i, i, i, 255) for i in range(4)}
    labels = MemorySource(rng.choice([0, 3], (60, 80)).astype(np.uint8), palette=table, bands=("red", "green", "blue"))
    pixels, valid, _ = whole(labels, TURN, Grid(80, 60))
    assert len(pixels) == 1 and set(np.unique(pixels[0][valid])) == {0, 3}
    with pytest.raises(UsageError, match="nearest"):
        whole(labels, TURN, Grid(80, 60), resampling="cubic")


def test_complex_pixels_stay_complex():
    source = MemorySource(image(hills).astype(np.complex64) * 1j)
    pixels, valid, _ = whole(source, TURN, Grid(80, 60))
    assert pixels.dtype == np.complex64 and set(pixels[0][valid]) <= set(source.pixels.ravel())
    with pytest.raises(UsageError, match="complex"):
        whole(source, TURN, Grid(80, 60), resampling="bilinear")


def test_nothing_of_the_moving_image_is_a_result_too():
    pixels, valid, clipped = whole(MemorySource(image(hills)), translation(500, 0), Grid(80, 60))
    assert not valid.any() and not pixels.any() and clipped == 0


def test_an_affine_result_on_its_own_grid_keeps_its_pixels_and_corrects_its_place():
    fixed = Grid(100, 90, Georef("EPSG:32632", (10.0, 0, 500000, 0, -10.0, 4e6)))
    moving = MemorySource(image(hills))
    grid, to_grid = moving_grid(moving.header, TURN, fixed)
    pixels, valid, _ = whole(moving, to_grid, grid)
    assert np.array_equal(pixels, moving.pixels) and valid.all()
    corner = np.array([80.0, 60.0, 1.0])
    expected = fixed.georef.matrix @ np.append(TURN(corner[None, :2])[0], 1)
    assert np.allclose(grid.georef.matrix @ corner, expected) and grid.georef.crs_wkt == "EPSG:32632"


@pytest.mark.parametrize("transform", [bend(), homography([[2, 0.1, 2], [0, 1.9, 5], [1e-3, 5e-4, 1]])])
def test_a_bent_result_on_its_own_grid_keeps_its_sampling(transform):
    fixed = Grid(100, 90, Georef(None, (10.0, 0, 500000, 0, -10.0, 4e6)))
    grid, to_grid = moving_grid(MemorySource(image(hills)).header, transform, fixed)
    corner = np.array([[80.0, 60.0]])
    on_ground = fixed.georef.matrix @ np.append(transform(corner)[0], 1)
    assert np.allclose(grid.georef.matrix @ np.append(to_grid(corner)[0], 1), on_ground)
    middle = np.array([[40.0, 30.0], [41.0, 30.0], [40.0, 31.0]])
    a, b, c = to_grid(middle)
    assert abs(abs(np.linalg.det([b - a, c - a])) - 1) < 0.02
    _, valid, _ = whole(MemorySource(image(hills)), to_grid, grid)
    assert all(edge.any() for edge in (valid[:4], valid[-4:], valid[:, :4], valid[:, -4:]))


def test_a_footprint_that_runs_to_the_horizon_is_refused():
    tilted = homography([[1, 0, 0], [0, 1, 0], [-1 / 80.001, 0, 1]])
    with pytest.raises(UsageError, match="times"):
        moving_grid(MemorySource(image(hills)).header, tilted, Grid(80, 60))


def test_pixels_that_are_not_square_are_reduced_each_way_by_its_own_factor():
    """Eight columns to one and no row: averaging as many rows would lose what runs across."""
    rows = np.where(np.arange(60) % 2, 200.0, 100.0)[:, None] * np.ones((1, 640))
    squeeze = homography(np.diag([1 / 8, 1.0, 1.0]))
    pixels, valid, _ = whole(MemorySource(rows), squeeze, Grid(80, 60), resampling="bilinear")
    assert valid.all() and np.allclose(pixels[0], rows[:, :80])
