"""Pinhole cameras over a ground: the flow is what their matrices say, and what stands before a point hides it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xmatch.metrics import epipolar_errors
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.pinhole import draw_cameras
from xmatch.synth.resampling import bilinear
from xmatch.synth.seeds import device_rng
from xmatch.synth.sources.parallax import flow_between, look
from xmatch.synth.sources.worlds import MadeHere, Worlds

SIDE, SIZE = 96, 64
COUNT = 3
FAR_APART = Difficulty(max_parallax_deg=50)


def grounds():
    """Three grounds of hills, each with two towers."""
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    height = 3 + 3 * torch.sin(x / 9.0) * torch.cos(y / 13.0)
    height = height.expand(COUNT, 1, -1, -1).clone()
    for number in range(COUNT):
        height[number, :, 40 : 52 + 3 * number, 38:50] += 14.0
        height[number, :, 20:30, 60 - 5 * number : 70] += 9.0
    return height


@pytest.fixture
def pair():
    height = grounds()
    cameras = draw_cameras(COUNT, 2, 2 * SIZE / SIDE, np.random.default_rng(3), FAR_APART)
    first, second = (look(height, camera, SIZE, 32) for camera in cameras)
    return height, first, second, *flow_between(first, second)


def poses(first, second, number):
    """Intrinsics in px, and the (4, 4) from the first camera to the second."""
    one, other = first.camera, second.camera
    motion = np.linalg.inv(other.camera_to_world[number]) @ one.camera_to_world[number]
    return one.intrinsics_px(SIZE)[number], other.intrinsics_px(SIZE)[number], motion


def centres_px():
    line = np.arange(SIZE) + 0.5
    return np.stack(np.meshgrid(line, line), -1)


def in_px(flow):
    return (flow.numpy().astype(float) + 1) * SIZE / 2


def test_flow_is_the_reprojection_of_each_point_by_the_matrices(pair):
    _, first, second, flow, seen = pair
    depth = first.camera.depth(first.ground, first.height * first.per_px).numpy()
    assert seen.float().mean() > 0.4
    for number in range(COUNT):
        k1, k2, motion = poses(first, second, number)
        rays = np.linalg.inv(k1) @ np.column_stack([centres_px().reshape(-1, 2), np.ones(SIZE**2)]).T
        gone = k2 @ (motion[:3, :3] @ (rays * depth[number].ravel()) + motion[:3, 3:])
        apart = np.linalg.norm((gone[:2] / gone[2]).T - in_px(flow[number]).reshape(-1, 2), axis=1)
        assert apart[seen[number].numpy().ravel()].max() < 0.05


def test_flow_fulfils_the_essential_matrix_of_the_pose(pair):
    _, first, second, flow, seen = pair
    for number in range(COUNT):
        k1, k2, motion = poses(first, second, number)
        chosen = seen[number].numpy()
        there = in_px(flow[number])[chosen]
        squared = epipolar_errors(centres_px()[chosen], there, k1, k2, motion[:3, :3], motion[:3, 3])
        # The distances to both lines are squared and added, in units of focal lengths.
        assert np.sqrt(squared.max()) * max(k1[0, 0], k2[0, 0]) < 0.05
        turned = epipolar_errors(centres_px()[chosen], there, k1, k2, motion[:3, :3].T, motion[:3, 3])
        assert np.sqrt(np.median(turned)) * k1[0, 0] > 0.5


def test_what_a_camera_sees_lies_on_the_ground_and_on_the_ray_of_its_px(pair):
    height, first, second, *_ = pair
    for seen in (first, second):
        inside = seen.on_ground
        assert (bilinear(height, seen.ground) - seen.height)[inside].abs().quantile(0.95) < 0.2
        back = seen.camera.places(seen.ground, seen.height * seen.per_px)
        own = torch.from_numpy(centres_px()).permute(2, 0, 1) * 2 / SIZE - 1
        assert ((back - own) * SIZE / 2).abs().max() < 0.02


def test_what_something_stands_before_is_not_seen(pair):
    height, first, second, _, seen = pair
    # From each point towards the second camera: how deep under the ground does the way run?
    up = torch.linspace(0.02, 1, 200)[None, None, :, None, None]
    point = torch.cat([first.ground, first.height * first.per_px], 1)[:, :, None]
    camera = torch.from_numpy(second.camera.centre * (1, 1, -1)).float()[:, :, None, None, None]
    top = height.amax() * first.per_px
    reach = ((top - point[:, 2:]) / (camera[:, 2:] - point[:, 2:])).clamp_min(0)
    way = point + up * reach * (camera - point)
    under = torch.stack(
        [bilinear(height, way[:, :2, i]) - way[:, 2:, i] / first.per_px for i in range(up.shape[2])], 1
    ).amax((1, 2))
    hidden = (under > 2.0) & first.on_ground[:, 0]
    assert hidden.float().mean() > 0.01
    assert not (seen & hidden).any()
    in_view = (flow_between(first, second)[0].abs() < 0.95).all(-1) & first.on_ground[:, 0] & (under < 0.05)
    assert seen[in_view].float().mean() > 0.85


@pytest.mark.parametrize("most_deg", [0.0, 10.0, 60.0])
def test_cameras_are_as_far_apart_as_the_difficulty_allows(most_deg):
    one, other = draw_cameras(200, 2, 1.2, np.random.default_rng(0), Difficulty(max_parallax_deg=most_deg))
    cosine = (one.rotation[:, 2] * other.rotation[:, 2]).sum(1)
    apart = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    assert apart.max() <= most_deg + 1e-4
    assert apart.mean() >= 0.3 * most_deg
    assert np.allclose(one.rotation @ one.rotation.transpose(0, 2, 1), np.eye(3), atol=1e-12)


class Scene:
    """Towers under a smooth texture; its sensors show that and its negative."""

    sensors = ("camera", "negative")

    def __init__(self, side, rng):
        knots = torch.rand((1, 1, side // 6, side // 6), generator=rng)
        self.texture = torch.nn.functional.interpolate(knots, (side, side), mode="bilinear")
        self.height = torch.zeros(1, 1, side, side)
        self.height[:, :, side // 3 : side // 2, side // 3 : side // 2] = side / 12

    def render(self, sensor, rng):
        return self.texture if sensor == "camera" else 1 - self.texture


def worlds(share):
    maker = MadeHere(lambda kind, count, side, rng: Scene(side, rng))
    return Worlds(["city"], pool=4, maker=maker, pinhole_share=share)


def test_pairs_of_worlds_in_perspective_keep_their_truth():
    aligned = worlds(1.0).draw(8, 48, device_rng("cpu", 0), Difficulty.FULL)
    assert aligned.flow is not None and aligned.has_flow.all()
    shown = bilinear(aligned.second, aligned.flow.permute(0, 3, 1, 2))
    inner = aligned.covisible & (aligned.flow.abs() < 0.95).all(-1)
    apart = (shown + aligned.first - 1).abs()[:, 0][inner]
    assert inner.float().mean() > 0.4
    assert apart.median() < 0.02 and apart.quantile(0.98) < 0.15


def test_a_share_of_the_pairs_is_seen_in_perspective():
    source, rng = worlds(0.3), device_rng("cpu", 1)
    draws = [source.draw(16, 48, rng, Difficulty.FULL) for _ in range(8)]
    # What is seen from far, cut at right angles, ends nowhere before its scene does.
    posed = torch.cat([~(d.first_valid & d.second_valid).all(3).all(2).all(1) for d in draws if not d.has_flow.all()])
    moved = np.concatenate([d.has_flow for d in draws if not d.has_flow.all()])
    assert 0.15 < moved.mean() < 0.45
    assert not (posed.numpy() & ~moved).any()


def test_who_asks_for_no_pinhole_cameras_keeps_no_heights():
    plain, asked = worlds(0.0), worlds(0.5)
    for source in (plain, asked):
        source.draw(2, 48, device_rng("cpu", 0), Difficulty.FULL)
    assert all(scene.height is None for scene in plain._pool.values())
    assert all(scene.height is not None for scene in asked._pool.values())


def test_rooms_are_seen_twice_and_keep_their_truth():
    source = Worlds(["indoor"], pool=6, pinhole_share=1.0, side=96)
    aligned = source.draw(12, 64, device_rng("cpu", 4), Difficulty(gap=0.0))
    right, still = [], []
    shown = bilinear(aligned.second, aligned.flow.permute(0, 3, 1, 2))
    for i in np.flatnonzero(aligned.has_flow):
        seen = aligned.covisible[i]
        for other, found in ((shown, right), (aligned.second, still)):
            found.append(torch.corrcoef(torch.stack([aligned.first[i, 0][seen], other[i, 0][seen]]))[0, 1].item())
    assert aligned.has_flow.mean() > 0.8 and aligned.covisible.float().mean() > 0.3
    gained = np.array(right) - still
    assert np.median(right) > 0.9 and gained.min() > -0.05 and gained.mean() > 0.1


def test_rooms_seen_from_too_far_apart_are_seen_once():
    source = Worlds(["indoor"], pool=12, pinhole_share=1.0, side=64)
    easy, full = (
        source.draw(24, 64, device_rng("cpu", 4), Difficulty(max_parallax_deg=most)).has_flow.mean() for most in (3, 30)
    )
    assert easy < 0.5 < full
