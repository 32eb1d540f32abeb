"""Frames of a video are connected by short hops, and what does not come back is not believed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from xmatch.coords import pixel_centres
from xmatch.errors import InputError
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.layouts import kind_of
from xmatch.synth.seeds import device_rng
from xmatch.synth.sources import Sensors, Videos
from xmatch.synth.sources.video import CLIP_FRAMES, Clip, chained, find_clips, read_clip

HEIGHT, WIDTH = 80, 112
STEP_PX = 2


def panorama():
    texture = np.random.default_rng(0).uniform(0, 255, (40, 120)).astype(np.float32)
    return cv2.resize(texture, (360, HEIGHT), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def frames(count=9):
    """The camera pans to the right, the scene moves to the left."""
    scene = panorama()
    return np.stack([scene[:, STEP_PX * n : STEP_PX * n + WIDTH] for n in range(count)])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "walk").mkdir()
    for n, frame in enumerate(frames()):
        cv2.imwrite(str(tmp_path / "walk" / f"{n:03d}.png"), frame)
    return tmp_path


def test_hops_add_up():
    there, kept = chained(frames(7))
    moved = there - pixel_centres(WIDTH, HEIGHT)
    inner = np.zeros((HEIGHT, WIDTH), bool)
    inner[8:-8, 24:-8] = True
    assert kept[inner].mean() > 0.9
    assert np.median(moved[kept], axis=0) == pytest.approx([-6 * STEP_PX, 0], abs=0.15)
    assert np.percentile(np.abs(moved[kept & inner] - [-6 * STEP_PX, 0]), 95) < 1.0


def test_what_leaves_the_image_is_not_believed():
    _, kept = chained(frames(7))
    assert not kept[:, : 6 * STEP_PX - 2].any()


def test_what_is_covered_on_the_way_is_not_believed():
    film = frames(5).copy()
    film[2:, 20:60, 50:90] = np.random.default_rng(1).integers(0, 255, (40, 40))
    _, kept = chained(film)
    assert kept[24:56, 62:88].mean() < 0.5 < kept[:16, 30:].mean()


def test_drawn_pairs_show_the_same_point_at_partners(folder):
    class Plain:
        def see_views(self, first, second, rng, host, gap):
            return first, second, (("visible", "visible"),) * len(first)

    aligned = Videos.below(folder, Plain()).draw(6, 48, device_rng("cpu", 1), Difficulty.FULL)
    assert aligned.covisible.float().mean() > 0.4
    shown = torch.nn.functional.grid_sample(aligned.second, aligned.flow, align_corners=False)
    apart = (shown - aligned.first)[:, 0].abs()[aligned.covisible]
    assert apart.median() < 0.04


def test_a_film_gives_clips_of_a_bounded_number_of_frames(tmp_path):
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (WIDTH, HEIGHT))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no video")
    for frame in frames(CLIP_FRAMES + 5):
        writer.write(np.repeat(frame[..., None], 3, -1))
    writer.release()
    clips = find_clips(tmp_path)
    assert [clip.count for clip in clips] == [CLIP_FRAMES, 5]
    assert read_clip(clips[1]).shape == (5, HEIGHT, WIDTH, 3)
    assert kind_of(tmp_path) == kind_of(path) == "video"
    aligned = Videos.below(path, Sensors(["infrared"])).draw(2, 32, device_rng("cpu", 1), Difficulty.FULL)
    assert aligned.first.shape[0] == 2 and aligned.flow.shape == (2, 32, 32, 2)


def test_no_video_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no videos here"):
        find_clips(tmp_path)
    broken = tmp_path / "a.mp4"
    broken.write_bytes(b"not a film")
    with pytest.raises(InputError, match="fewer than two frames"):
        read_clip(Clip(broken, 0, 5))
    with pytest.raises(InputError, match="none of 1 images is usable"):
        Videos.below(tmp_path, Sensors(["sar"])).draw(1, 32, device_rng("cpu", 1), Difficulty.FULL)
