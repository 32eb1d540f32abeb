"""The parts that modalities are made of: filters, curves, regions, noise, events."""

from __future__ import annotations

import math

import pytest
import torch
from flat_scenes import seeded, shapes

from xmatch.synth.modalities.charts import outlines
from xmatch.synth.modalities.curves import (
    looked_up,
    rising_table,
    stretched,
    wavy_table,
)
from xmatch.synth.modalities.drawn import brushed
from xmatch.synth.modalities.draws import blobs, clutter, log_uniform, patches, spots, uniform
from xmatch.synth.modalities.events import FELL, ROSE, events
from xmatch.synth.modalities.filters import blurred, flattened, gaussian, gray, slopes
from xmatch.synth.modalities.radar import speckle
from xmatch.synth.modalities.regions import of_region, regions

WHITE = (1.0, 1.0, 1.0)


def column(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers)[:, None, None, None]


def test_events_are_those_of_the_simulator_pixel_by_pixel():
    """The same rule written out as loops, with its own threshold and shifts for each image."""
    luma = gray(shapes(3, 12, 15))
    thresholds, dx, dy = (0.05, 0.2, 0.45), (1, -2, 3), (-3, 1, 2)
    out = events(luma, column(*thresholds), torch.tensor(dx)[:, None], torch.tensor(dy)[:, None])
    for b in range(3):
        level = [[math.log(1 + round(255 * float(v))) for v in row] for row in luma[b, 0]]
        for y in range(12):
            for x in range(15):
                expected = WHITE
                if 0 <= y + dy[b] < 12 and 0 <= x + dx[b] < 15:
                    change = level[y + dy[b]][x + dx[b]] - level[y][x]
                    expected = ROSE if change > thresholds[b] else FELL if change < -thresholds[b] else WHITE
                assert tuple(out[b, :, y, x].tolist()) == expected, (b, y, x)
    colours = {tuple(c) for c in out.permute(0, 2, 3, 1).reshape(-1, 3).tolist()}
    assert colours == {WHITE, ROSE, FELL}


@pytest.mark.parametrize("looks", [1.0, 4.0, 16.0])
def test_speckle_has_mean_one_and_the_spread_of_its_looks(looks):
    field = speckle(torch.zeros(4, 1, 200, 200), seeded(0), (looks, looks + 1e-6))
    assert float(field.mean()) == pytest.approx(1.0, abs=0.02)
    assert float(field.std()) == pytest.approx(1 / math.sqrt(looks), rel=0.05)
    assert field.min() >= 0


def test_each_image_is_blurred_by_its_own_sigma():
    dot = torch.zeros(3, 1, 41, 41)
    dot[:, :, 20, 20] = 1.0
    out = blurred(dot, column(0.0, 1.0, 3.0), 15)
    assert torch.equal(out[0], dot[0])
    for b, sigma in ((1, 1.0), (2, 3.0)):
        x = torch.arange(41) - 20.0
        assert float(out[b, 0].sum()) == pytest.approx(1.0, abs=1e-4)
        assert float((out[b, 0].sum(0) * x**2).sum().sqrt()) == pytest.approx(sigma, rel=0.02)
    assert torch.allclose(gaussian(column(2.0), 6).sum(1), torch.ones(1))


def test_slopes_are_those_of_a_ramp():
    y, x = torch.arange(9.0)[:, None], torch.arange(11.0)
    along_x, along_y = slopes((0.03 * x - 0.02 * y)[None, None])
    assert torch.allclose(along_x[..., 1:-1], torch.tensor(0.03))
    assert torch.allclose(along_y[..., 1:-1, :], torch.tensor(-0.02))


def step_edge(noise: float) -> torch.Tensor:
    """Left half 0.3, right half 0.7, with noise."""
    image = torch.full((1, 1, 64, 64), 0.3)
    image[..., 32:] = 0.7
    return image + noise * torch.randn(image.shape, generator=seeded(1))


def test_flattening_takes_the_texture_and_leaves_the_edge():
    image = step_edge(0.02)
    out = flattened(image, 0.08)
    assert float(out[..., :20].std()) < 0.5 * float(image[..., :20].std())
    # Its coefficients come from an image a quarter the size: two thirds of the jump stay between two neighbours.
    assert float((out[..., 32] - out[..., 31]).mean()) > 0.65 * 0.4


def test_a_brush_leaves_a_step_as_sharp_as_it_was():
    out = brushed(step_edge(0.01), column(3.0), 4)
    assert float((out[..., 32] - out[..., 31]).mean()) > 0.95 * 0.4
    assert float(out[..., :28].std()) < 0.007


def test_regions_end_where_the_colours_do():
    image = torch.full((1, 3, 48, 64), 0.3)
    image[:, 0, :, 32:] = 0.8
    image = image + 0.03 * torch.randn(image.shape, generator=seeded(1))
    label = regions(image, seeded(2), 2, 2, (1.5, 1.5))[0, 0]
    assert len(label[:, :31].unique()) == 1 and len(label[:, 33:].unique()) == 1
    assert label[0, 0] != label[0, -1]


def test_an_image_has_no_more_regions_than_it_draws():
    label = regions(shapes(6, 64, 64), seeded(3), 2, 3, (1.0, 2.0))
    assert {len(one.unique()) for one in label} <= {1, 2, 3} and label.max() <= 2


def test_values_are_laid_out_as_the_regions_are():
    label = torch.tensor([[[[0.0, 1.0], [2.0, 1.0]]], [[[2.0, 2.0], [0.0, 1.0]]]])
    values = torch.tensor([[[10.0, 11, 12], [20, 21, 22]], [[30, 31, 32], [40, 41, 42]]])
    out = of_region(label, values)
    assert out[0].tolist() == [[[10, 11], [12, 11]], [[20, 21], [22, 21]]]
    assert out[1].tolist() == [[[32, 32], [30, 31]], [[42, 42], [40, 41]]]


def test_outlines_are_drawn_between_different_labels_only():
    label = torch.zeros(1, 1, 3, 4)
    label[..., 2:] = 1.0
    assert outlines(label)[0, 0].tolist() == [[0, 1, 0, 0]] * 3


def test_curves_do_what_their_names_say():
    image = torch.zeros(40, 1, 1, 1)
    rising, wavy = rising_table(image, seeded(4)), wavy_table(image, seeded(4), 6)
    assert (rising.diff(dim=1) >= 0).all()
    for table in (rising, wavy):
        assert table.amin(1).abs().max() < 1e-6 and (table.amax(1) - 1).abs().max() < 1e-6
    assert (wavy.diff(dim=1) < 0).any(1).float().mean() > 0.9


def test_a_table_is_looked_up_at_the_nearest_entry_of_its_own_image():
    values = torch.tensor([0.0, 0.5, 1.0, 2.0]).expand(2, 1, 1, 4)
    table = torch.stack([torch.linspace(0, 1, 256), torch.linspace(1, 0, 256)])
    out = looked_up(values, table)
    assert torch.allclose(out[0, 0, 0], torch.tensor([0.0, 128 / 255, 1.0, 1.0]))
    assert torch.allclose(out[1, 0, 0], torch.tensor([1.0, 127 / 255, 0.0, 0.0]))


def test_stretching_knows_the_image_s_own_range():
    ramp = torch.linspace(0.2, 0.4, 64).expand(1, 1, 64, 64)
    assert float(stretched(ramp, 0.0).amin()) == 0 and float(stretched(ramp, 0.0).amax()) == pytest.approx(1.0, abs=0.1)
    assert (stretched(torch.full((1, 1, 16, 16), 0.4)) == 0).all()


def test_draws_lie_in_their_range_and_fields_have_their_scale():
    image = torch.zeros(64, 1, 48, 40)
    assert 2 <= uniform(image, seeded(6), 2, 3).min() < 2.1 and 2.9 < uniform(image, seeded(6), 2, 3).max() < 3
    ratio = log_uniform(image, seeded(6), 0.25, 4.0)
    assert 0.25 <= ratio.min() and ratio.max() < 4 and float((ratio < 1).float().mean()) == pytest.approx(0.5, abs=0.15)
    inner = clutter(image, seeded(7), 1.0, 3.0)[..., 8:-8, 8:-8]
    assert float(inner.std()) == pytest.approx(1.0, abs=0.1)
    assert blobs(image, seeded(8), 4).shape == image.shape
    assert float(patches(image, seeded(9), 0.3, 0.3).mean()) == pytest.approx(0.3, abs=0.05)
    assert spots(image, seeded(10), 3, 0.05, 0.1).amin() >= 0
