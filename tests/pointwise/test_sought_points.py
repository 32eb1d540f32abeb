"""Points in other images and through frames, as numbers, tables and pictures."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from made_features import Looks, seen, texture

from xmatch.errors import InputError, ResourceError, UsageError
from xmatch.io import ReadOptions
from xmatch.io.points.reading import read_points, read_positions
from xmatch.pointwise.images import see_frames, seen_size
from xmatch.pointwise.pictures import HEIGHT_PX, drawn_frame, drawn_pair
from xmatch.pointwise.points import find_points, track_points
from xmatch.pointwise.tables import encode_points, encode_tracks

POINTS = np.array([[60.0, 52.0], [84.0, 76.0], [100.0, 44.0]])


def shifted(image: np.ndarray, x: int, y: int = 0) -> np.ndarray:
    return np.roll(image, (y, x), (0, 1))


def test_points_are_found_where_they_went():
    image = texture()
    found = find_points(Looks(), seen(image), seen(shifted(image, 24, -16)), "geometric", POINTS)
    assert np.abs(found.moving_xy - POINTS - (24, -16)).max() < 2
    assert found.certainty.min() > 0.95 and found.return_px.max() < 3 and found.fixed_xy is POINTS


def test_positions_are_those_of_the_files_whatever_size_is_seen():
    """FIXED of half the resolution in x and a quarter in y of what is seen, MOVING of twice."""
    image = texture()
    fixed = seen(image, size_px=(80, 32))
    moving = seen(shifted(image, 16), size_px=(320, 256))
    found = find_points(Looks(), fixed, moving, "semantic", POINTS * (0.5, 0.25))
    assert np.abs(found.moving_xy / 2 - POINTS - (16, 0)).max() < 2
    assert found.return_px.max() < 1.5


def test_without_points_cells_that_choose_each_other_are_given():
    image = texture()
    found = find_points(Looks(), seen(image), seen(shifted(image, 24)), "geometric", refinement="nearest")
    cells = (found.fixed_xy - 4) / 8
    assert len(found.certainty) > 200 and np.allclose(cells, cells.round())
    assert np.allclose((found.moving_xy - found.fixed_xy) % (160, 128), (24, 0))


def test_what_is_not_valid_is_not_found():
    image = texture()
    there = seen(shifted(image, 24))
    hidden = there.valid.copy()
    hidden[:, 80:] = False
    found = find_points(Looks(), seen(image), replace(there, valid=hidden), "geometric", POINTS)
    assert (found.moving_xy[:, 0] <= 80 + 8).all()


def test_what_is_covered_is_not_visible_and_comes_back():
    image = texture()
    frames = [shifted(image, 8 * i) for i in range(4)]
    covered = frames[2].copy()
    covered[24:104, 64:160] = texture(seed=5)[24:104, 64:160]
    frames[2] = covered
    looks = Looks()
    found = list(track_points(looks, seen(image), [seen(frame, str(i)) for i, frame in enumerate(frames)], POINTS))
    assert [tracked.visible.tolist() for tracked in found] == [[True] * 3, [True] * 3, [False] * 3, [True] * 3]
    for i in (0, 1, 3):
        assert np.abs(found[i].xy - POINTS - (8 * i, 0)).max() < 2
    assert looks.asked == ["temporal"] * 5  # the first frame is described once


def test_too_little_memory_is_said_with_what_takes_less():
    def greedy(images, task):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    with pytest.raises(ResourceError, match="--feature-side"):
        find_points(greedy, seen(texture()), seen(texture()), "semantic", POINTS)

    def broken(images, task):
        raise RuntimeError("another fault")

    with pytest.raises(RuntimeError, match="another fault"):
        find_points(broken, seen(texture()), seen(texture()), "semantic", POINTS)


@pytest.mark.parametrize(
    ("size", "task", "side", "expected"),
    [
        ((640, 480), "semantic", None, (512, 512)),
        ((640, 480), "temporal", 768, (768, 768)),
        ((640, 480), "geometric", None, (640, 480)),
        ((1000, 701), "geometric", None, (992, 704)),
        ((4000, 2000), "geometric", None, (1024, 512)),
        ((640, 480), "geometric", 320, (320, 256)),
        ((20, 4000), "geometric", None, (32, 1024)),
    ],
)
def test_sizes_are_those_of_the_published_evaluation(size, task, side, expected):
    assert seen_size(size, task, side) == expected


@pytest.mark.parametrize("side", [0, -32, 500])
def test_sides_that_features_cannot_take_are_refused(side):
    with pytest.raises(UsageError, match="multiple of 32"):
        seen_size((640, 480), "semantic", side)


@pytest.fixture
def folder(tmp_path):
    """Frames 1.png, 2.png, ..., 10.png."""
    for i in range(1, 11):
        cv2.imwrite(str(tmp_path / f"{i}.png"), (255 * shifted(texture(), i)).astype(np.uint8))
    return tmp_path


def test_frames_of_a_folder_come_in_the_order_of_their_numbers(folder):
    (folder / "notes.txt").write_text("no frame")
    frames = list(see_frames(folder, ReadOptions(), 32))
    assert [frame.name.rpartition("/")[2] for frame in frames] == [f"{i}.png" for i in range(1, 11)]
    assert frames[0].image.shape == (32, 32, 3) and frames[0].size_px == (160, 128)


def test_frames_of_a_video_are_those_that_were_written(tmp_path):
    path = str(tmp_path / "clip.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 10, (160, 128))
    images = [np.full((128, 160, 3), (0, 0, 60 * i), np.uint8) for i in range(1, 4)]
    for image in images:
        writer.write(image)
    writer.release()
    frames = list(see_frames(path, ReadOptions(), 32))
    assert [round(float(frame.image[..., 0].mean() * 255)) for frame in frames] == pytest.approx([60, 120, 180], abs=4)
    assert frames[2].image[..., 2].max() < 0.05 and frames[2].name == "clip.avi#2"


def test_frames_of_another_size_are_named(folder):
    cv2.imwrite(str(folder / "5.png"), np.zeros((64, 160, 3), np.uint8))
    with pytest.raises(InputError, match="160 x 64 px among frames of 160 x 128") as caught:
        list(see_frames(folder, ReadOptions(), 32))
    assert caught.value.path.endswith("5.png")


@pytest.mark.parametrize("name", ["empty", "none.mp4", "text.mp4"])
def test_what_holds_no_frames_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(InputError):
        list(see_frames(tmp_path / name, ReadOptions()))


def test_tables_say_the_same_in_all_forms(tmp_path):
    found = find_points(Looks(), seen(texture()), seen(shifted(texture(), 8)), "semantic", POINTS)
    as_csv, as_json, as_npz = (encode_points(found, kind, "semantic", "looks") for kind in ("csv", "json", "npz"))
    rows = list(csv.DictReader(io.StringIO(as_csv.decode())))
    assert [float(row["moving_x"]) for row in rows] == pytest.approx(found.moving_xy[:, 0], abs=1e-6)
    told = json.loads(as_json)
    assert [row["visible"] for row in rows] == ["1"] * 3 and told["points"][0]["visible"] is True
    assert told["points"][1]["fixed_y"] == 76.0 and (told["task"], told["count"]) == ("semantic", 3)
    assert np.array_equal(np.load(io.BytesIO(as_npz))["moving_xy"], found.moving_xy)
    # What was found can be a registration's tie points, and its points can be sought again.
    (tmp_path / "found.csv").write_bytes(as_csv)
    assert np.allclose(read_points(tmp_path / "found.csv").correspondences.moving_xy, found.moving_xy, atol=1e-6)
    for kind, content in (("csv", as_csv), ("json", as_json), ("npz", as_npz)):
        (tmp_path / f"found.{kind}").write_bytes(content)
        assert np.allclose(read_positions(tmp_path / f"found.{kind}", (160, 128)), POINTS)


def test_tracks_say_the_same_in_all_forms():
    image = texture()
    frames = [seen(shifted(image, 8 * i), f"{i}.png") for i in range(2)]
    found = list(track_points(Looks(), seen(image), frames, POINTS))
    as_csv, as_json, as_npz = (encode_tracks(POINTS, found, kind, "looks") for kind in ("csv", "json", "npz"))
    rows = list(csv.DictReader(io.StringIO(as_csv.decode())))
    assert [(row["frame"], row["point"]) for row in rows] == [(t, p) for t in "01" for p in "012"]
    assert [float(row["x"]) for row in rows[3:]] == pytest.approx(found[1].xy[:, 0], abs=1e-6)
    told = json.loads(as_json)
    assert told["frames"] == ["0.png", "1.png"] and told["tracks"][3]["visible"] is True
    arrays = np.load(io.BytesIO(as_npz))
    assert arrays["xy"].shape == (3, 2, 2) and arrays["visible"].all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x,y\n10,10\n10,200\n", "row 3: .*outside the fixed image of 160 x 128"),
        ("x,y\n10,-1\n", "outside"),
        ("x,y\n10,nan\n", "outside"),
        ("x,y\n10,ten\n", "not a number"),
        ("a,b\n1,2\n", "lacks the column fixed_x"),
    ],
)
def test_points_that_are_none_or_lie_outside_are_named(tmp_path, text, said):
    (tmp_path / "points.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        read_positions(tmp_path / "points.csv", (160, 128))


def test_points_counted_from_centres_are_brought_to_corners(tmp_path):
    (tmp_path / "points.csv").write_text("x,y,first_centre\n10,20,0\n")
    assert read_positions(tmp_path / "points.csv", (160, 128)).tolist() == [[10.5, 20.5]]


def test_a_line_goes_from_each_point_to_where_it_was_found():
    black = seen(np.zeros((128, 160, 3), np.float32))
    found = find_points(Looks(), seen(texture()), seen(texture()), "semantic", POINTS[:1])
    picture = cv2.imdecode(np.frombuffer(drawn_pair(black, black, found), np.uint8), cv2.IMREAD_COLOR)
    width = round(160 * HEIGHT_PX / 128)
    assert picture.shape == (HEIGHT_PX, 2 * width + 12, 3)
    x, y = (POINTS[0] * (HEIGHT_PX / 128)).astype(int)
    assert picture[y, x].max() > 200 and picture[y, x + width // 2].max() > 100  # the point, and the line between
    assert not picture[y + 40, : width - 1].any()


def test_a_point_that_does_not_come_back_is_a_ring_without_a_line():
    black = seen(np.zeros((128, 160, 3), np.float32))
    found = find_points(Looks(), seen(texture()), seen(texture()), "semantic", POINTS[:1])
    found = replace(found, visible=np.array([False]))
    picture = cv2.imdecode(np.frombuffer(drawn_pair(black, black, found), np.uint8), cv2.IMREAD_COLOR)
    x, y = (POINTS[0] * (HEIGHT_PX / 128)).astype(int)
    assert not picture[y, x].any() and picture[y, x - 6 : x + 7].any()
    assert not picture[y, x + 40 : round(160 * HEIGHT_PX / 128) - 1].any()


def test_hidden_points_are_rings_and_visible_ones_dots_with_tails():
    black = seen(np.zeros((128, 160, 3), np.float32))
    tails = np.stack([POINTS - (40, 0), POINTS])
    scale = HEIGHT_PX / 128
    for visible in (True, False):
        content = drawn_frame(black, tails, np.full((2, 3), visible))
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        x, y = (POINTS[0] * scale).astype(int)
        assert bool(picture[y, x].any()) is visible and bool(picture[y, x - int(20 * scale)].any()) is visible
        assert picture[y, x - 6 : x + 7].any()
