"""From two files to a transform: what is found, and what does not change it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from scenes import (
    FIXED_AT,
    SIDE,
    distance_px,
    georeferenced,
    ground,
    optical,
    placed,
    radar,
    registered,
    seen,
    to_fixed,
    write,
)

from xmatch.geometry import TRANSFORMS, Linear
from xmatch.io import ReadOptions, open_source
from xmatch.matchers.base import Matches, PlanStage, Proposal
from xmatch.matchers.registry import MATCHERS, load_plan
from xmatch.matchers.structural import Structural
from xmatch.registration.identical import same_image
from xmatch.registration.options import RegisterOptions
from xmatch.registration.pipeline import register

SAMPLES = Path(__file__).parents[2] / "sample_data"
LAND = ground(3)
MOVING_AT = placed(6, 1.05, (9, -14))
TRUE = to_fixed(MOVING_AT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("registration")


@pytest.fixture(scope="module")
def fixed(folder) -> Path:
    return write(folder / "fixed.tif", optical(seen(LAND, FIXED_AT)))


@pytest.fixture(scope="module")
def moving(folder) -> Path:
    return write(folder / "moving.tif", radar(seen(LAND, MOVING_AT)))


@pytest.fixture(scope="module")
def told() -> list[tuple[str, float]]:
    """What `progress` was told during the registration that `plain` is."""
    return []


@pytest.fixture(scope="module")
def plain(fixed, moving, told):
    options = RegisterOptions(threads=1, max_angle_deg=12.0, max_scale=1.1)
    with open_source(fixed) as one, open_source(moving) as other:
        return register(one, other, options, lambda stage, share: told.append((stage, share)))


def numbers(registration) -> str:
    """All that a registration found, as JSON, down to the last digit."""
    verdict = registration.verdict
    return json.dumps(
        {
            "transform": registration.transform.as_dict(),
            "fixed_xy": registration.correspondences.fixed_xy.tolist(),
            "moving_xy": registration.correspondences.moving_xy.tolist(),
            "residual_px": registration.residual_px.tolist(),
            "inliers": registration.inliers.tolist(),
            "verdict": [verdict.accepted, verdict.probability, verdict.ce90_px, verdict.evidence],
        }
    )


@pytest.mark.timeout(60)
@pytest.mark.parametrize("index", [0, 1], ids=["misplaced radar", "turned tissue section"])
def test_the_sample_pairs_register_within_two_px_and_are_accepted(index):
    pair = json.loads((SAMPLES / "truth.json").read_text())["pairs"][index]
    found = registered(SAMPLES / pair["fixed"], SAMPLES / pair["moving"], max_angle_deg=180, max_scale=2)
    ties = np.array(pair["tie_points"])
    assert np.linalg.norm(found.transform(ties[:, 2:]) - ties[:, :2], axis=1).mean() < 2
    assert found.verdict.accepted
    assert found.verdict.ground_unit == ("m", "um")[index]
    assert found.verdict.ce90_ground == pytest.approx(found.verdict.ce90_px * (10, 2)[index], rel=1e-3)


def test_two_sensors_are_registered_within_a_px_and_accepted(plain):
    assert distance_px(plain.transform, TRUE) < 1
    assert plain.verdict.accepted and plain.verdict.ce90_px > 0
    assert plain.verdict.ce90_ground is None, "neither file says how large a pixel is"


def test_inliers_are_the_tie_points_that_the_transform_explains(plain):
    points = plain.correspondences
    residual = np.linalg.norm(plain.transform(points.moving_xy) - points.fixed_xy, axis=1)
    np.testing.assert_allclose(plain.residual_px, residual)
    assert len(points) == len(plain.inliers) > 30
    assert residual[plain.inliers].max() < residual[~plain.inliers].min()
    true_residual = np.linalg.norm(TRUE(points.moving_xy) - points.fixed_xy, axis=1)
    assert np.median(true_residual[plain.inliers]) < 1


def test_progress_is_told_in_rising_shares_of_the_whole(plain, told):
    shares = [share for _, share in told]
    assert len(shares) >= 4 and shares == sorted(set(shares)) and 0 < shares[0] and shares[-1] <= 1


def test_every_stage_is_timed_and_the_options_are_recorded(plain, told):
    stages = {stage for stage, _ in told}
    assert plain.seconds.keys() == stages | {"total"}
    assert plain.seconds["total"] >= sum(plain.seconds[stage] for stage in stages)
    assert plain.provenance["options"]["max_angle_deg"] == 12.0


def test_the_same_seed_gives_the_same_numbers_and_threads_do_not_change_them(plain, fixed, moving):
    assert numbers(registered(fixed, moving, threads=2)) == numbers(plain)


def test_swapping_the_images_gives_the_inverse(plain, fixed, moving):
    swapped = registered(moving, fixed)
    assert swapped.verdict.accepted
    assert distance_px(swapped.transform.inverse, plain.transform) < 1


def test_moving_the_content_by_t_moves_the_answer_by_t(plain, fixed, folder):
    t = np.array([7, -5])
    canvas = (SIDE + 20, SIDE + 20)
    wide = radar(seen(LAND, Linear(MOVING_AT.matrix @ [[1, 0, -10], [0, 1, -10], [0, 0, 1]], "affine"), canvas))
    images = [wide[10 + y : 10 + y + SIDE, 10 + x : 10 + x + SIDE] for x, y in ((0, 0), t)]
    here, there = (registered(fixed, write(folder / f"shifted{i}.tif", image)) for i, image in enumerate(images))
    moved = Linear(np.array([[1, 0, -t[0]], [0, 1, -t[1]], [0, 0, 1.0]]), "translation")
    assert distance_px(there.transform.inverse, moved.after(here.transform.inverse)) < 0.5


def test_turning_contrast_over_changes_neither_verdict_nor_place(plain, fixed, moving, folder):
    with open_source(moving) as source:
        negative = 255 - source.read().pixels
    found = registered(fixed, write(folder / "negative.tif", negative))
    assert found.verdict.accepted
    assert distance_px(found.transform, plain.transform) < 0.5


@pytest.mark.parametrize("kind", ["auto", *TRANSFORMS])
def test_identical_files_are_the_identity_to_the_last_digit(fixed, folder, kind):
    copy = Path(shutil.copy(fixed, folder / "copy.tif"))
    found = registered(fixed, copy, transform=kind)
    assert found.verdict.accepted and (found.verdict.probability, found.verdict.ce90_px) == (1.0, 0.0)
    corners = np.array([[0.0, 0], [SIDE, 0], [0, SIDE], [SIDE, SIDE], [7.3, 11.9]])
    # What is solved for or interpolated is rounded.
    np.testing.assert_allclose(found.transform(corners), corners, rtol=0, atol=1e-9 if kind in ("tps", "grid") else 0)
    assert found.transform.kind == (kind if kind != "auto" else "translation")
    assert found.inliers.all() and len(found.inliers) > 100


def test_two_bands_or_pages_of_one_file_are_not_identical(folder):
    both = np.stack([optical(seen(LAND, FIXED_AT)), radar(seen(LAND, MOVING_AT))])
    path = write(folder / "both.tif", both)
    with open_source(path, ReadOptions(bands=(1,))) as one, open_source(path, ReadOptions(bands=(2,))) as other:
        assert not same_image(one, other) and same_image(one, one)
    tifffile.imwrite(folder / "pages.tif", both, photometric="minisblack")
    pages = [ReadOptions(page=0), ReadOptions(page=1)]
    with open_source(folder / "pages.tif", pages[0]) as one, open_source(folder / "pages.tif", pages[1]) as other:
        assert not same_image(one, other)


def test_identical_files_that_show_nothing_are_not_trusted(folder):
    path = write(folder / "blank.tif", np.full((SIDE, SIDE), 7, np.uint8))
    assert not registered(path, path).verdict.accepted


def test_a_copy_that_claims_to_lie_elsewhere_is_no_identity(folder):
    """Other bytes: what is found is up to the pixels, which say that the claim is wrong."""
    image = optical(seen(LAND, FIXED_AT))
    fixed = write(folder / "here.tif", image, **georeferenced(FIXED_AT))
    moving = write(folder / "there.tif", image, **georeferenced(placed(0, 1, (5, 0))))
    with open_source(fixed) as one, open_source(moving) as other:
        assert not same_image(one, other)


@pytest.mark.parametrize("angle_deg", [90, 180])
def test_turned_images_are_found(fixed, folder, angle_deg):
    at = placed(angle_deg, 1.0, (9, -14))
    found = registered(fixed, write(folder / f"turned{angle_deg}.tif", radar(seen(LAND, at))), max_angle_deg=180)
    assert found.verdict.accepted
    assert distance_px(found.transform, to_fixed(at)) < 1


def test_mirrored_images_are_found_on_request_and_refused_without(fixed, folder):
    at = placed(5, 1.0, (9, 4), mirror=True)
    mirrored = write(folder / "mirrored.tif", radar(seen(LAND, at)))
    found = registered(fixed, mirrored, mirror=True)
    assert found.verdict.accepted
    assert distance_px(found.transform, to_fixed(at)) < 1
    assert found.verdict.evidence["halves_px"] < 3, "halves of the tie points agree on a mirrored map too"
    assert not registered(fixed, mirrored).verdict.accepted


def test_what_lies_under_a_mask_has_no_influence(fixed, folder):
    image = radar(seen(LAND, MOVING_AT))
    turn = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), 25, 0.95)
    valid = cv2.warpAffine(np.ones_like(image), turn, (SIDE, SIDE), flags=cv2.INTER_NEAREST) > 0
    other = optical(seen(ground(8), FIXED_AT))
    found = [
        registered(fixed, write(folder / f"garbage{i}.tif", np.where(valid, image, garbage), valid))
        for i, garbage in enumerate((image, other))
    ]
    assert found[0].verdict.accepted
    assert numbers(found[0]) == numbers(found[1])


def test_georeferencing_of_any_grid_is_followed_to_the_content(folder):
    """Fixed is south-up; moving is turned, has tall pixels of another size, and lies 6 cells off where it says."""
    south_up = Linear(FIXED_AT.matrix @ [[1, 0, 0], [0, -1, SIDE], [0, 0, 1]], "affine")
    size = (300, 200)
    moving_at = Linear(placed(60, 1.0, size=size).matrix @ np.diag([0.8, 1.2, 1.0]), "affine")
    said = Linear([[1, 0, 6], [0, 1, -4], [0, 0, 1]] @ moving_at.matrix, "affine")
    fixed = write(folder / "south_up.tif", optical(seen(LAND, south_up)), **georeferenced(south_up))
    moving = write(folder / "tall.tif", radar(seen(LAND, moving_at, size)), **georeferenced(said))
    found = registered(fixed, moving, max_angle_deg=180, max_scale=2)
    true = to_fixed(moving_at, south_up)
    assert distance_px(to_fixed(said, south_up), true, size) > 7
    assert distance_px(found.transform, true, size) < 1
    assert found.verdict.accepted and found.verdict.ground_unit == "m"


def test_a_ground_sampling_distance_of_five_to_one_is_bridged(folder):
    coarse_at, size = placed(0, 5.0, size=(84, 84)), (84, 84)
    fine_at = placed(3, 1.0, (4, -6))
    fixed = write(folder / "fine.tif", optical(seen(LAND, fine_at)), **georeferenced(FIXED_AT))
    moving = write(folder / "coarse.tif", optical(seen(LAND, coarse_at, size)), **georeferenced(coarse_at))
    found = registered(fixed, moving)
    assert distance_px(to_fixed(coarse_at), to_fixed(coarse_at, fine_at), size) > 5
    assert distance_px(found.transform, to_fixed(coarse_at, fine_at), size) < 2.5, "half a coarse px"


def test_a_crs_on_one_side_only_is_no_obstacle_when_georeferencing_is_left_out(fixed, folder):
    moving = write(folder / "placed.tif", radar(seen(LAND, MOVING_AT)), **georeferenced(placed(0, 1, (5000, 0))))
    found = registered(fixed, moving, use_georef=False)
    assert found.verdict.accepted
    assert distance_px(found.transform, TRUE) < 1
    again = registered(fixed, moving, ReadOptions(ignore_georef=True))
    assert numbers(again) == numbers(found)


class _Lost:
    """Finds nothing right."""

    name = "lost"
    wants_colour = False

    def __call__(self, fixed, moving, within, *, seed=0, threads=1, earlier=None):
        return Matches((Proposal(np.array([[1.0, 0.0, 60.0], [0.0, 1.0, -50.0], [0.0, 0.0, 1.0]]), 1.0),))


def after_a_lost_one(monkeypatch, second, fixed, moving):
    """The registration by a plan of two matchers, the first of which is lost."""
    monkeypatch.setitem(MATCHERS, "lost", lambda *built_from: (PlanStage.ready(_Lost()), PlanStage.ready(second)))
    options = RegisterOptions("lost", threads=1, max_angle_deg=12.0, max_scale=1.1)
    with open_source(fixed) as one, open_source(moving) as other:
        return register(one, other, options)


def test_where_the_first_matcher_is_not_sure_a_second_one_is_asked(fixed, moving, plain, monkeypatch):
    found = after_a_lost_one(monkeypatch, Structural(), fixed, moving)
    assert found.verdict.accepted and any("structural found" in note for note in found.notes)
    assert (found.verdict.matcher, found.verdict.is_calibrated) == ("structural", True)
    np.testing.assert_allclose(found.transform.matrix, plain.transform.matrix)


def test_a_second_matcher_that_is_no_surer_changes_nothing_and_what_is_not_calibrated_is_said_once(
    fixed, moving, monkeypatch
):
    found = after_a_lost_one(monkeypatch, _Lost(), fixed, moving)
    assert not found.verdict.accepted and not any("found" in note for note in found.notes)
    said = [found.verdict.reason, *found.notes]
    assert sum("not calibrated for lost" in text for text in said) == 1


def test_the_network_is_loaded_only_where_structure_is_not_sure(plain, monkeypatch):
    def never(*args):
        raise AssertionError("loaded too early")

    monkeypatch.setattr("xmatch.matchers.weights.open_matcher", never)
    *ready, network = load_plan("auto")
    assert [stage.build().name for stage in ready] == ["sift", "structural"] and network.name == "xmatch-fields"
    assert plain.provenance["options"]["matcher"] == "auto" and plain.verdict.matcher == "structural"
    assert not any("was not sure" in note for note in plain.notes)
    with pytest.raises(AssertionError, match="too early"):
        network.build()


def test_a_callers_threads_are_as_they_were(fixed, moving, monkeypatch):
    import torch

    before = cv2.getNumThreads(), torch.get_num_threads()
    seen = []

    class Watching(_Lost):
        def __call__(self, *args, **more):
            seen.append(cv2.getNumThreads())
            return super().__call__(*args, **more)

    monkeypatch.setitem(MATCHERS, "watching", lambda *built_from: Watching())
    cv2.setNumThreads(3)
    try:
        with open_source(fixed) as one, open_source(moving) as other:
            register(one, other, RegisterOptions("watching", threads=1))
        assert (seen, cv2.getNumThreads(), torch.get_num_threads()) == ([1], 3, before[1])
    finally:
        cv2.setNumThreads(before[0])


def test_colour_is_there_for_a_matcher_that_wants_it(fixed, moving, monkeypatch):
    seen = []

    class InColour(_Lost):
        wants_colour = True

        def __call__(self, one, other, within, **more):
            seen.extend((one.colour, other.colour))
            return super().__call__(one, other, within, **more)

    monkeypatch.setitem(MATCHERS, "in-colour", lambda *built_from: InColour())
    with open_source(fixed) as one, open_source(moving) as other:
        register(one, other, RegisterOptions("in-colour", threads=1))
    assert [(image.shape[2], image.dtype) for image in seen] == [(3, np.float32)] * 2
