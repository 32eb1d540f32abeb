"""The truth that fields are trained by, and the scores that it is compared with."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from xmatch.errors import UsageError
from xmatch.networks.fieldnet.cells import STRIDE
from xmatch.networks.fieldnet.config import FieldNetConfig
from xmatch.networks.fieldnet.network import FieldNet
from xmatch.networks.fieldnet.objective import _canvas, _scores, _true_poses, _warped
from xmatch.networks.registry import load_objective
from xmatch.synth.pairs import TrainingPairs

SIDE = 96


def seen_twice(turn_deg: float, scale: float, shift_px: tuple[float, float]) -> TrainingPairs:
    """Moving shows what fixed shows, turned, rescaled and shifted; by `grid_sample`, as training pairs are made."""
    scene = torch.rand((1, 1, SIDE, SIDE), generator=torch.Generator().manual_seed(1))
    scene = torch.nn.functional.avg_pool2d(scene, 5, 1, 2)
    c, s = scale * math.cos(math.radians(turn_deg)), scale * math.sin(math.radians(turn_deg))
    # Moving -> fixed, normalised.
    matrix = torch.tensor([[c, -s, 2 * shift_px[0] / SIDE], [s, c, 2 * shift_px[1] / SIDE], [0.0, 0.0, 1.0]])
    grid = torch.nn.functional.affine_grid(matrix[None, :2], [1, 1, SIDE, SIDE], align_corners=False)
    moving = torch.nn.functional.grid_sample(scene, grid, align_corners=False)
    valid = torch.nn.functional.grid_sample(torch.ones_like(scene), grid, align_corners=False) > 0.99
    warp = torch.nn.functional.affine_grid(torch.linalg.inv(matrix)[None, :2], [1, 1, SIDE, SIDE], align_corners=False)
    covisible = (warp.abs() < 1).all(-1)
    return TrainingPairs(
        scene, torch.ones_like(valid), moving * valid, valid, warp, covisible, (("visible", "visible"),)
    )


@pytest.mark.parametrize(("turn_deg", "scale"), [(0, 1.0), (35, 1.0), (-140, 1.25), (180, 0.8)])
def test_the_true_pose_is_read_from_the_warp(turn_deg, scale):
    poses = _true_poses(seen_twice(turn_deg, scale, (9, -5)))
    matrix = poses.matrices[0]
    assert math.hypot(*matrix[:, 0].tolist()) == pytest.approx(scale, rel=1e-4)
    difference = math.degrees(math.atan2(matrix[1, 0], matrix[0, 0])) - turn_deg
    assert (difference + 180) % 360 - 180 == pytest.approx(0, abs=0.01)
    corner = (SIDE / STRIDE - _canvas(SIDE / STRIDE)) / 2
    assert poses.shifts[0].tolist() == pytest.approx([9 / STRIDE + corner, -5 / STRIDE + corner], abs=1e-3)


@pytest.mark.parametrize(("turn_deg", "scale"), [(0, 1.0), (70, 1.1), (-160, 0.9)])
def test_fields_warped_by_the_true_pose_correlate_best_at_the_true_shift(turn_deg, scale):
    torch.manual_seed(0)
    model = FieldNet(FieldNetConfig(channels=(8, 8, 8, 8), blocks=(0,) * 4, maps=2)).eval()
    model.log_weights.data[2:] = -30  # hand-made fields turn exactly
    batch = seen_twice(turn_deg, scale, (8, -6))
    errors = load_objective("fields").errors(model, batch)
    assert len(errors) == 1 and errors[0].item() <= STRIDE


def test_scores_of_all_pairs_are_those_of_each_pair():
    rng = torch.Generator().manual_seed(0)
    fixed, warped = torch.rand((3, 4, 16, 16), generator=rng), torch.rand((3, 4, 20, 20), generator=rng)
    cover, warped_cover = torch.ones(3, 1, 16, 16), torch.ones(3, 1, 20, 20)
    cover[1, :, :4] = 0
    everything, allowed = _scores(fixed, cover, warped, warped_cover, crosswise=True)
    own, own_allowed = _scores(fixed, cover, warped, warped_cover, crosswise=False)
    assert everything.shape[:2] == (3, 3) and own.shape[:2] == (3, 1)
    for i in range(3):
        assert torch.allclose(everything[i, i], own[i, 0], atol=1e-4)
        assert torch.equal(allowed[i, i], own_allowed[i, 0])
    # By hand: warped's corner on fixed's.
    product = (fixed[0] * warped[2][:, :16, :16]).sum() / 16
    assert everything[0, 2, 0, 0].item() == pytest.approx(product.item(), rel=1e-4)


def test_a_pair_that_hardly_overlaps_teaches_nothing():
    model = FieldNet(FieldNetConfig(channels=(8, 8, 8, 8), blocks=(0,) * 4, maps=2))
    parts = load_objective("fields").step(model, seen_twice(0, 1.0, (0.85 * SIDE, 0)))
    assert parts["total"].item() == 0


def test_laying_without_motion_keeps_the_fields():
    planes = torch.rand((1, 4, 16, 16), generator=torch.Generator().manual_seed(0))
    poses = _true_poses(seen_twice(0, 1.0, (0, 0)))
    warped, shown = _warped(planes, torch.ones(1, 1, 16, 16), poses, (2, 0))
    assert torch.allclose(warped[..., 2:18, 2:18], planes, atol=1e-5) and shown.sum() == 256


def test_a_size_that_the_network_cannot_take_is_named():
    batch = seen_twice(0, 1.0, (0, 0))
    cut = {name: getattr(batch, name)[..., :64, :64] for name in ("fixed", "fixed_valid", "moving", "moving_valid")}
    cut |= {"warp": batch.warp[:, :64, :64], "covisible": batch.covisible[:, :64, :64]}
    with pytest.raises(UsageError, match="64 px"):
        load_objective("fields").step(
            FieldNet(FieldNetConfig(channels=(8, 8, 8, 8), blocks=(0,) * 4)), dataclasses.replace(batch, **cut)
        )
