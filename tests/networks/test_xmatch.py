"""The network: any size goes in, content that is not valid has no say, and it can learn."""

import dataclasses

import pytest
import torch

from xmatch.networks.grids import cell_centres
from xmatch.networks.xmatch.attention import PairAttention, rotated
from xmatch.networks.xmatch.config import SIZES, XMatchConfig
from xmatch.networks.xmatch.global_matching import soft_argmax
from xmatch.networks.xmatch.network import XMatch

TINY = XMatchConfig(
    channels=(8, 8, 16, 16),
    blocks=(1, 1, 1, 1),
    attention_layers=1,
    heads=2,
    coarse_channels=16,
    refine_channels=(8, 8, 8, 4),
    refine_hidden=(16, 8, 8, 8),
    refine_blocks=(1, 1, 1, 1),
    radius=(2, 1, 1, 1),
)


@pytest.fixture
def model() -> XMatch:
    torch.manual_seed(0)
    return XMatch(TINY).eval()


def images(height: int, width: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(2, 1, height, width, generator=rng), torch.ones(2, 1, height, width, dtype=torch.bool)


def test_every_scale_covers_fixed_and_the_finest_comes_last(model):
    with torch.inference_mode():
        found = model(*images(48, 64), *images(32, 80, seed=1))
    assert [w.stride for w in found.scales] == [8, 8, 4, 2, 1]
    for scale in found.scales:
        assert scale.warp.shape == (2, 48 // scale.stride, 64 // scale.stride, 2)
        assert scale.certainty.shape == scale.warp.shape[:3]
        assert torch.isfinite(scale.warp).all() and torch.isfinite(scale.certainty).all()
    assert found.scores.shape == (2, 6 * 8, 4 * 10)
    assert found.finest.stride == 1


def test_refinement_ends_where_it_is_told_to(model):
    with torch.inference_mode():
        found = model(*images(32, 32), *images(32, 32, seed=1), finest=4)
    assert [w.stride for w in found.scales] == [8, 8, 4]


def test_what_is_not_valid_has_no_say(model):
    (fixed, seen), (moving, moving_seen) = images(48, 48), images(48, 48, seed=1)
    moving_seen = moving_seen.clone()
    moving_seen[..., :20] = False
    noisy = torch.where(moving_seen, moving, torch.rand(moving.shape, generator=torch.Generator().manual_seed(5)))
    with torch.inference_mode():
        one, other = (model(fixed, seen, m, moving_seen) for m in (moving, noisy))
    torch.testing.assert_close(one.finest.warp, other.finest.warp)
    torch.testing.assert_close(one.scores, other.scores)


def test_brightness_and_contrast_have_no_say(model):
    (fixed, seen), (moving, moving_seen) = images(32, 32), images(32, 32, seed=1)
    with torch.inference_mode():
        one, other = (model(fixed, seen, m, moving_seen) for m in (moving, 0.2 + 0.1 * moving))
    torch.testing.assert_close(one.finest.warp, other.finest.warp, atol=1e-4, rtol=0)


@pytest.mark.parametrize("flat", [0.0, 0.7])
def test_images_without_content_or_without_valid_pixels_give_finite_answers(model, flat):
    image, seen = images(32, 32)
    empty = torch.full_like(image, flat)
    with torch.inference_mode():
        for valid in (seen, torch.zeros_like(seen)):
            found = model(image, seen, empty, valid)
            assert all(torch.isfinite(s.warp).all() and torch.isfinite(s.certainty).all() for s in found.scales)


def test_sides_must_be_multiples_of_sixteen(model):
    with pytest.raises(ValueError, match="multiples of 16"):
        model(*images(40, 48), *images(48, 48))


def test_the_coarse_answer_lies_between_the_cells_that_share_the_score():
    scores = torch.full((1, 1, 12), -30.0)  # 3 x 4 cells
    scores[0, 0, 5] = scores[0, 0, 6] = -1.0
    xy, share = soft_argmax(scores, (3, 4))
    centres = cell_centres(3, 4, scores).view(-1, 2)
    torch.testing.assert_close(xy[0, 0], (centres[5] + centres[6]) / 2, atol=1e-4, rtol=0)
    assert share.item() == pytest.approx(1.0, abs=1e-4)


def test_the_shipped_size_fits_in_sixteen_mebibytes_of_half_precision():
    with torch.device("meta"):
        state = XMatch(SIZES["xmatch-small"]).state_dict()
    assert 2 * sum(value.numel() for value in state.values()) < 16 * 2**20


def test_configs_that_cannot_be_built_are_refused():
    with pytest.raises(ValueError, match="refine_strides"):
        dataclasses.replace(TINY, refine_strides=(4, 2))
    with pytest.raises(ValueError, match="one number a stride"):
        dataclasses.replace(TINY, radius=(1, 1))
    with pytest.raises(ValueError, match="heads"):
        dataclasses.replace(TINY, heads=3)


def coarse() -> torch.nn.Module:
    torch.manual_seed(0)
    return XMatch(TINY).coarse


def test_scores_are_the_two_softmaxes_one_along_each_image():
    """Two cells of fixed look like the first of moving, the second of moving like none: both directions are asked."""
    a, b = torch.tensor([[1.0, 1.0], [0.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])  # channels x cells
    seen = torch.ones(1, 2, dtype=torch.bool)
    scores = coarse().scores(a[None, :, None], b[None, :, None], seen, seen)[0].exp()
    # Of fixed's two equal cells each has half of moving's first; moving's second is shared as well.
    assert scores[0, 0].item() == pytest.approx(0.5, abs=1e-3) and scores[1, 0].item() == pytest.approx(0.5, abs=1e-3)
    torch.testing.assert_close(coarse().scores(b[None, :, None], a[None, :, None], seen, seen)[0].exp(), scores.T)


def test_cells_without_content_are_matched_to_nothing():
    torch.manual_seed(1)
    a, b = torch.randn(2, 1, 4, 1, 3)
    fixed_seen, moving_seen = torch.tensor([[True, True, False]]), torch.tensor([[False, True, True]])
    scores = coarse().scores(a, b, fixed_seen, moving_seen)[0]
    assert (scores[:2, 0] < -100).all() and (scores[:2, 1:] > -100).all()
    without = coarse().scores(a[..., :2], b[..., 1:], fixed_seen[:, :2], moving_seen[:, 1:])[0]
    torch.testing.assert_close(scores[:2, 1:], without)


def test_at_the_border_the_coarse_answer_leans_on_no_cell_twice():
    scores = torch.zeros(1, 1, 6 * 8)  # 6 x 8 cells, all alike but the first
    scores[0, 0, 0] = 1.0
    xy, share = soft_argmax(scores, (6, 8))
    centres, weight = cell_centres(6, 8, scores)[:3, :3], torch.ones(3, 3)
    weight[0, 0] = torch.e**0.5  # scores are sums of two logarithms: their geometric mean counts
    torch.testing.assert_close(xy[0, 0], (centres * weight[..., None]).sum((0, 1)) / weight.sum())
    assert share.item() == pytest.approx((weight.sum() / (weight.sum() + 39)).item())


@pytest.mark.parametrize(("row", "column"), [(1, 6), (4, 2)])
def test_the_coarse_answer_counts_rows_and_columns_of_oblong_images(row, column):
    scores = torch.full((1, 1, 6 * 8), -60.0)
    scores[0, 0, row * 8 + column] = -0.1
    xy, _ = soft_argmax(scores, (6, 8))
    torch.testing.assert_close(xy[0, 0], cell_centres(6, 8, scores)[row, column], atol=1e-4, rtol=0)


def test_the_centres_of_cells_lie_half_a_cell_from_the_edges():
    centres = cell_centres(2, 4, torch.zeros(1))
    torch.testing.assert_close(centres[0, :, 0], torch.tensor([-0.75, -0.25, 0.25, 0.75]))
    torch.testing.assert_close(centres[:, 0, 1], torch.tensor([-0.5, 0.5]))


def test_a_refiner_moves_the_warp_by_cells_of_moving_and_towards_what_it_says():
    model = XMatch(TINY).eval()
    refiner = model.refiners["8"]
    with torch.no_grad():
        refiner.out.bias.copy_(torch.tensor([1.0, 2.0, 0.5]))  # a cell to the right, two down, surer
        fixed, moving = torch.randn(1, 8, 4, 6), torch.randn(1, 8, 5, 10)
        warp = cell_centres(4, 6, fixed)[None] * 0.5
        found, certainty = refiner(fixed, moving, warp, torch.zeros(1, 4, 6))
    torch.testing.assert_close(found - warp, torch.tensor([2 * 1 / 10, 2 * 2 / 5]).expand_as(warp))
    torch.testing.assert_close(certainty, torch.full((1, 4, 6), 0.5))


def test_cells_without_content_are_not_looked_at():
    torch.manual_seed(0)
    attention = PairAttention(16, heads=2, layers=1).eval()
    fixed, moving, other = torch.randn(3, 1, 16, 3, 4)
    seen = torch.ones(1, 12, dtype=torch.bool)
    some = seen.clone()
    some[:, 7:] = False
    changed = torch.where(some.view(1, 1, 3, 4), moving, other)
    with torch.inference_mode():
        (a, b), (c, d) = (attention(fixed, image, seen, some) for image in (moving, changed))
    torch.testing.assert_close(a, c)
    torch.testing.assert_close(b.flatten(2)[..., :7], d.flatten(2)[..., :7])


def test_positions_turn_channels_the_way_the_weights_were_trained_with():
    x, quarter = torch.tensor([[[[1.0, 2.0]]]]), (torch.zeros(1, 1), torch.ones(1, 1))
    torch.testing.assert_close(rotated(x, *quarter), torch.tensor([[[[-2.0, 1.0]]]]))
