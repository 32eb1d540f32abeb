"""The verdict: what cannot be right is never accepted, and what it says follows from its evidence."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scenes import FIXED_AT, SIDE, ground, optical, placed, radar, registered, seen, write

from xmatch.correspondences import Correspondences
from xmatch.geometry import similarity
from xmatch.raster import View
from xmatch.result import Verdict
from xmatch.verification.alignment import Alignment, ScoredProposal
from xmatch.verification.calibration import Calibration, calibrated_matchers, calibration_for
from xmatch.verification.evidence import Following, bending_px, following, gather
from xmatch.verification.judge_settings import LEARNED, NAMES
from xmatch.verification.measures import JUDGED_RANGES, MEASURES, RANGES
from xmatch.verification.verdict import AMBIGUOUS, FEW, score, verdict_on

LAND = ground(3)
WIDE = {"max_angle_deg": 180.0, "max_scale": 1.2}
"""The wider the search, the more chances has an accident."""


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    return write(tmp_path_factory.mktemp("verdict") / "fixed.tif", optical(seen(LAND, FIXED_AT)))


def noise() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, (SIDE, SIDE)).astype(np.uint8)


def water() -> np.ndarray:
    """Swell without a landmark, and some noise of the sensor."""
    ys, xs = np.mgrid[:SIDE, :SIDE]
    swell = 6 * np.sin(0.31 * xs + 0.13 * ys) + np.random.default_rng(2).normal(0, 3, (SIDE, SIDE))
    return (40 + swell).clip(0, 255).astype(np.uint8)


def clouds() -> np.ndarray:
    soft = cv2.GaussianBlur(np.random.default_rng(5).normal(0, 1, (SIDE, SIDE)), (0, 0), 14)
    return (200 + 40 * soft / np.abs(soft).max()).astype(np.uint8)


def orchard(phase: float = 0.0) -> np.ndarray:
    """Rows of trees, the same again every 16 px."""
    ys, xs = np.mgrid[:SIDE, :SIDE] + phase
    trees = 100 + 70 * np.sign(np.sin(2 * np.pi * xs / 16)) * np.sign(np.sin(2 * np.pi * ys / 16))
    return (trees + np.random.default_rng(int(phase)).normal(0, 8, trees.shape)).clip(0, 255).astype(np.uint8)


def test_unrelated_scenes_are_rejected(fixed, tmp_path):
    other = write(tmp_path / "other.tif", radar(seen(ground(4), FIXED_AT)))
    found = registered(fixed, other, **WIDE)
    assert not found.verdict.accepted and found.verdict.ce90_px is None and found.verdict.reason


@pytest.mark.parametrize("made", [water, clouds], ids=lambda made: made.__name__)
def test_images_without_landmarks_are_rejected(fixed, tmp_path, made):
    assert not registered(fixed, write(tmp_path / "moving.tif", made()), **WIDE).verdict.accepted


def test_two_images_of_noise_are_rejected(tmp_path):
    one, other = write(tmp_path / "one.tif", noise()), write(tmp_path / "other.tif", noise().T[::-1].copy())
    assert not registered(one, other, matcher="structural", max_angle_deg=12.0).verdict.accepted


@pytest.mark.parametrize("max_angle_deg", [12.0, 180.0], ids=["other rows fit as well", "quarter turns fit as well"])
def test_repetitive_texture_is_rejected(tmp_path, max_angle_deg):
    one, other = write(tmp_path / "one.tif", orchard()), write(tmp_path / "other.tif", orchard(5.0))
    found = registered(one, other, max_angle_deg=max_angle_deg)
    assert not found.verdict.accepted and found.verdict.probability <= 0.5
    assert found.verdict.reason == AMBIGUOUS


@pytest.mark.parametrize("level", [0, 77, 255])
def test_a_constant_image_is_rejected_with_a_reason_and_no_transform(fixed, tmp_path, level):
    found = registered(fixed, write(tmp_path / "flat.tif", np.full((SIDE, SIDE), level, np.uint8)))
    assert not found.verdict.accepted and found.verdict.probability == 0
    assert found.transform is None and len(found.correspondences) == 0
    assert "texture" in found.verdict.reason


def test_a_constant_image_on_itself_is_not_the_identity_with_success(tmp_path):
    flat = write(tmp_path / "flat.tif", np.full((SIDE, SIDE), 9, np.uint8))
    assert not registered(flat, flat).verdict.accepted


def test_one_per_cent_of_data_is_not_enough(fixed, tmp_path):
    valid = np.zeros((SIDE, SIDE), bool)
    valid[50:74, 60:84] = True
    scrap = write(tmp_path / "scrap.tif", radar(seen(LAND, FIXED_AT)), valid)
    assert not registered(fixed, scrap).verdict.accepted


# What follows weighs evidence by hand.


def an_alignment(shift_px: float, *, count: int = 100, mirror: bool = False) -> tuple[Alignment, View, View]:
    """The right pose of two views of 200 px, its tie points `shift_px` off to random sides."""
    rng = np.random.default_rng(0)
    flip = np.array([[-1.0, 0, 200], [0, 1, 0], [0, 0, 1]]) if mirror else np.eye(3)
    pose = similarity(20, 1.0, (30, -20)).matrix @ flip
    moving_xy = rng.uniform(20, 180, (count, 2))
    angle = rng.uniform(0, 2 * np.pi, count)
    off = shift_px * np.stack([np.cos(angle), np.sin(angle)], -1)
    fixed_xy = moving_xy @ pose[:2, :2].T + pose[:2, 2] + off
    best = ScoredProposal(pose, dict.fromkeys(NAMES, 0.5), 3.0, "match")
    ties = Correspondences(fixed_xy, moving_xy, np.ones(count))
    view = View(np.zeros((200, 200), np.float32), np.ones((200, 200), bool), np.eye(3))
    steady = np.full(count, 0.3)
    return Alignment(best, (replace(best, log_odds=1.0),), ties, steady, ties, steady), view, view


def evidence_of(shift_px: float, **more) -> dict[str, float]:
    return gather(*an_alignment(shift_px, **more), seed=0)


def test_evidence_is_what_is_weighed_and_the_number_of_inliers():
    assert evidence_of(0.3).keys() == RANGES.keys() - set(LEARNED) | {"inliers", "repetition"}
    assert all(isinstance(value, float) and np.isfinite(value) for value in evidence_of(0.3).values())


@pytest.mark.parametrize("mirror", [False, True])
def test_tie_points_that_agree_speak_for_the_alignment(mirror):
    good, bad = evidence_of(0.3, mirror=mirror), evidence_of(7.0, mirror=mirror)
    assert (good["inliers"], good["inlier_share"], good["lead"]) == (100, 1.0, 2.0)
    assert good["halves_px"] < 0.5 and bad["halves_px"] > 3 * good["halves_px"]
    assert good["chance_log10"] < -20 and bad["chance_log10"] > -1
    assert good["coverage"] > 0.8 and bad["coverage"] < 0.1


def test_inliers_in_one_corner_cover_little():
    alignment, fixed, moving = an_alignment(0.3)
    corner = (alignment.ties.moving_xy < 70).all(axis=1)
    few = replace(alignment, ties=alignment.ties[corner], forward_backward_px=alignment.forward_backward_px[corner])
    assert 0 < gather(few, fixed, moving, 0)["coverage"] < 0.35


def test_no_tie_points_are_evidence_too():
    nothing = evidence_of(0.3, count=0)
    assert (nothing["inliers"], nothing["coverage"], nothing["chance_log10"]) == (0, 0, 0)
    assert nothing["halves_px"] == RANGES["halves_px"][1]


@pytest.fixture(params=calibrated_matchers())
def model(request) -> Calibration:
    return calibration_for(request.param)


ALL_FOLLOW = Following(100, 100, 100)


def judged(model: Calibration, evidence: dict[str, float], followed=ALL_FOLLOW, **more) -> Verdict:
    sound = {"lead": RANGES["lead"][1], "repetition": 0.2, "inliers": 100.0}
    return verdict_on(sound | evidence, followed, matcher=model.name, **more)


def best_of(model: Calibration) -> dict[str, float]:
    return {name: RANGES[name][int(model.weights[name] > 0)] for name in model.weights}


def test_probability_rises_and_falls_with_the_score_across_the_threshold(model):
    evidence = {name: model.mean[name] for name in model.weights}
    at_mean = judged(model, evidence | {"lead": RANGES["lead"][1]})
    lead = (RANGES["lead"][1] - model.mean["lead"]) / model.spread["lead"] * model.weights["lead"]
    assert at_mean.probability == pytest.approx(1 / (1 + np.exp(-model.intercept - lead)))
    worst = {name: RANGES[name][int(model.weights[name] <= 0)] for name in model.weights}
    yes, no = judged(model, best_of(model)), judged(model, worst | {"lead": 12.0})
    assert no.probability < at_mean.probability < yes.probability
    assert (no.accepted, yes.accepted) == (False, True)
    assert no.reason != yes.reason


@pytest.mark.parametrize("rival", [{"lead": 0.01}, {"repetition": 0.9}])
def test_what_fits_as_well_in_another_way_is_not_accepted_however_well_it_fits(rival, model):
    alone, doubtful = (judged(model, best_of(model) | {"repetition": 0.2} | more) for more in ({}, rival))
    assert alone.accepted and not doubtful.accepted
    assert doubtful.probability <= 0.5 and doubtful.reason == AMBIGUOUS


def test_few_tie_points_are_too_few_whatever_share_of_them_agrees(model):
    enough, few = (judged(model, best_of(model) | {"inliers": count}) for count in (model.min_inliers, 2.0))
    assert enough.accepted and not few.accepted
    assert few.probability <= 0.5 and few.reason == FEW and model.min_inliers > 2


def test_a_map_that_hardly_any_region_lies_on_is_not_accepted_however_well_the_rest_fits(model):
    share = model.min_regions_share
    held, lost = (judged(model, best_of(model) | {"regions_share": value}) for value in (share, share - 0.05))
    assert held.accepted and not lost.accepted and lost.probability <= 0.5
    assert lost.reason.startswith("Only 20% of the regions lie where one similarity puts them")


@pytest.mark.parametrize(("kind", "advised"), [("homography", True), ("grid", False)])
def test_a_map_that_few_tie_points_follow_is_not_accepted_when_a_bent_one_would_explain_them(kind, advised, model):
    bent = judged(model, best_of(model), Following(100, 20, 80), kind=kind)
    assert not bent.accepted and bent.probability <= 0.5
    assert "80 of 100" in bent.reason and f"20 with one {kind}" in bent.reason
    assert ("--transform grid" in bent.reason) == advised


def test_values_beyond_their_limits_weigh_no_more_than_the_limit(model):
    wild = {name: high * 1e3 + 1 for name, (_, high) in RANGES.items()}
    assert score(wild, model) == pytest.approx(score({name: high for name, (_, high) in RANGES.items()}, model))


# How tie points follow a map, and one another.

PLACES = np.stack(np.meshgrid(np.arange(0.0, 240, 20), np.arange(0.0, 200, 20)), -1).reshape(-1, 2)
STEADY = np.ones(len(PLACES), bool)


def test_tie_points_on_the_map_follow_it_without_a_bend():
    off = np.random.default_rng(0).normal(0, 0.5, PLACES.shape)
    found = following(PLACES, PLACES + off, STEADY)
    assert (found.count, found.agreeing, found.coherent) == (120, 120, 120)
    assert not found.is_bent


def test_a_smooth_bend_is_told_with_its_size():
    off = 8 * np.sin(2 * np.pi * PLACES / 240)
    found = following(PLACES, PLACES + off, STEADY)
    assert found.agreeing < 20 and found.coherent > 80 and found.is_bent


def test_tie_points_that_agree_with_nothing_are_no_bend():
    off = np.random.default_rng(0).uniform(-8, 8, PLACES.shape)
    found = following(PLACES, PLACES + off, STEADY)
    assert found.coherent < 20 and not found.is_bent


def test_a_map_that_is_nowhere_defined_speaks_against_itself_in_finite_numbers():
    alignment, fixed, moving = an_alignment(0.3)

    def nowhere(xy: np.ndarray) -> np.ndarray:
        return np.full(xy.shape, np.nan)

    evidence = gather(alignment, fixed, moving, 0, nowhere)
    assert all(np.isfinite(value) for value in evidence.values())
    assert (evidence["inliers"], evidence["regions_share"]) == (0, 0)
    assert evidence["regions_px"] == bending_px(nowhere, moving) == RANGES["regions_px"][1]


def test_few_tie_points_leave_a_bend_open():
    found = following(PLACES[:6], PLACES[:6] + 5.0, STEADY[:6])
    assert (found.agreeing, found.is_bent) == (0, False)


def test_the_fitted_model_weighs_known_measures_and_carries_its_certificate(model):
    assert set(model.weights) <= set(RANGES)
    for part in (model.mean, model.spread, model.range):
        assert part.keys() == model.weights.keys()
    assert all(weight * MEASURES[name].sign >= 0 for name, weight in model.weights.items())
    assert all(spread > 0 for spread in model.spread.values()) and 0.5 <= model.threshold < 1
    certificate = model.certificate
    sources = zip(certificate["recipe"], certificate["data_sha256"], certificate["predictions_sha256"], strict=True)
    assert all(recipe and len(data) == len(predictions) == 64 for recipe, data, predictions in sources)
    assert min(certificate["right"], certificate["wrong"]) > 50


def test_every_measure_is_explained_and_those_that_are_weighed_can_be_said():
    assert MEASURES.keys() - RANGES.keys() == {"inliers", "repetition"}
    assert set(NAMES) | set(LEARNED) < RANGES.keys() and JUDGED_RANGES.keys() < RANGES.keys()
    for name, measure in MEASURES.items():
        assert measure.label and measure.meaning.endswith(".") and "\n" not in measure.meaning
        assert bool(measure.accepted) == bool(measure.refused) == (name in RANGES)
        assert abs(measure.sign) == 1


@pytest.mark.parametrize("matcher", ["mi", "a plug-in"])
def test_a_matcher_without_a_calibration_is_weighed_by_another_ones_and_told_so(matcher):
    structural = calibration_for("structural")
    evidence = best_of(structural) | {"repetition": 0.2, "inliers": 50.0}
    own, borrowed = (verdict_on(evidence, ALL_FOLLOW, matcher=name) for name in ("structural", matcher))
    assert (borrowed.accepted, borrowed.probability) == (own.accepted, own.probability) and own.accepted
    assert (own.matcher, own.calibration, own.is_calibrated) == ("structural", "structural", True)
    assert (borrowed.matcher, borrowed.calibration, borrowed.is_calibrated) == (matcher, "structural", False)
    assert f"not calibrated for {matcher}: it is fitted to structural" in borrowed.reason
    assert "not calibrated" not in own.reason


def test_the_view_of_a_turned_copy_is_accepted_so_that_rejection_means_something(fixed, tmp_path):
    turned = write(tmp_path / "turned.tif", radar(seen(LAND, placed(100, 1.1, (5, 8)))))
    assert registered(fixed, turned, **WIDE).verdict.accepted
