"""What every objective promises, and the truth that two of them are trained by."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import pytest
import torch

from xmatch.errors import ModelError
from xmatch.networks.architecture import Companion
from xmatch.networks.dinov2.config import DinoConfig
from xmatch.networks.dinov2.network import Dino
from xmatch.networks.registry import ARCHITECTURES, load_objective, objective_names
from xmatch.networks.truth import mutual_nearest, true_places
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.mixture import Mixture
from xmatch.synth.pairs import TrainingPairs, draw_pairs
from xmatch.synth.seeds import device_rng
from xmatch.synth.sources import Sensors, Shapes

SMALL = {
    "aliked": {"model": "aliked-t16", "first_channels": 8},
    "fields": {"channels": [8, 8, 8, 8], "blocks": [0, 1, 1, 1], "maps": 2},
    "dense": {"channels": [8, 8, 16, 16], "heads": 1, "attention_layers": 1, "blocks": [1] * 4, "coarse_channels": 16},
    "semidense": {"initial_dim": 8, "block_dims": [8, 8, 16], "heads": 2, "layers": 1},
    "matcha": {"channels": [8] * 4, "width": 8, "blocks": 1, "heads": 2, "semantic": 8, "geometric": 4},
    "lightglue": {"input": 8, "width": 16, "layers": 2, "heads": 2},
    "sparse": {"points": 64, "width": 16, "layers": 2, "heads": 2},
    "tiny-roma": {"coarse": 8, "fine": 8},
    "roma": {"channels": [8, 8, 8, 8], "convolutions": [1] * 4, "backbone_width": 16, "projected": [8] * 5,
             "posterior": 8, "heads": 1, "layers": 1, "anchors": 8, "embedded": [4] * 5, "radius": [2, 1, 1, 0, 0],
             "hidden": 1},
}  # fmt: skip
SIDE = {"roma": 112}
"""Of images, where an objective wants another one."""
STEPS = {"aliked": 6}
"""Until the loss is lower, where keypoints move with what is learnt."""


def pairs(size: int = 96, count: int = 2, seed: int = 0) -> TrainingPairs:
    mixture = Mixture([Shapes(Sensors(["visible"]))])
    return draw_pairs(mixture, count, size, device_rng("cpu", seed), Difficulty.EASY)


def shifted(shift_px: tuple[int, int], size: int = 64) -> TrainingPairs:
    """One noise image whose content lies further right and down in moving, by whole px."""
    dx, dy = shift_px
    scene = torch.rand((1, 1, size + 32, size + 32), generator=torch.Generator().manual_seed(0))
    fixed, moving = scene[..., 16 : 16 + size, 16 : 16 + size], scene[..., 16 - dy :, 16 - dx :][..., :size, :size]
    line = (torch.arange(size) + 0.5) * 2 / size - 1
    warp = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)[None] + torch.tensor([dx, dy]) * 2 / size
    valid = torch.ones_like(fixed, dtype=torch.bool)
    return TrainingPairs(fixed, valid, moving, valid, warp, (warp.abs() < 1).all(-1), (("visible", "visible"),))


def disk(descriptor: int) -> Companion:
    config = {"descriptor": descriptor}
    return Companion(ARCHITECTURES["disk"], ARCHITECTURES["disk"].build(config), config)


@pytest.fixture(params=sorted(SMALL))
def trained(request):
    objective = load_objective(request.param)
    torch.manual_seed(0)
    if objective.entry.companion == "backbone":
        config = DinoConfig(width=16, depth=1, heads=1, side=4)
        objective.companion = Companion(ARCHITECTURES["dinov2"], Dino(config), dataclasses.asdict(config))
    elif objective.entry.companion == "keypoints":
        objective.companion = disk(8)
    model = objective.build(objective.config(None, SMALL[request.param]))
    return objective, model, SIDE.get(request.param, 96)


def test_all_objectives_are_tried_here():
    assert set(SMALL) == set(objective_names())


def test_steps_on_one_batch_lower_its_loss(trained):
    objective, model, side = trained
    batch, steps = pairs(side), STEPS.get(objective.entry.objective_name, 3)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 3e-3)
    totals = []
    for _ in range(steps):
        torch.manual_seed(0)
        parts = objective.step(model, batch)
        totals.append(parts["total"].item())
        optimiser.zero_grad()
        parts["total"].backward()
        optimiser.step()
    assert totals[-1] < totals[0] and all(map(math.isfinite, totals))
    assert all(value.ndim == 0 and value.isfinite() for value in parts.values())


def test_every_parameter_that_is_trained_gets_a_gradient(trained):
    """Several processes wait for all of them."""
    objective, model, side = trained
    objective.step(model, pairs(side))["total"].backward()
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_a_stage_that_ends_coarse_leaves_the_finer_refiners_alone():
    objective = load_objective("dense")
    model = objective.build(objective.config(None, SMALL["dense"]))
    for finest, trained in ((16, set()), (4, {"8", "4"})):
        model.zero_grad(set_to_none=True)
        parts = objective.step(model, pairs(), finest=finest)
        parts["total"].backward()
        reached = {s for s in "8421" if all(p.grad is not None for p in model.refiners[s].parameters())}
        assert reached == trained
        assert {name for name in parts if name.startswith("regression")} == {f"regression_{s}" for s in trained}


def test_a_batch_in_which_nothing_is_seen_twice_has_a_finite_loss_and_gradient(trained):
    objective, model, side = trained
    batch = pairs(side)
    batch.covisible.fill_(False)
    objective.step(model, batch)["total"].backward()
    gradients = [p.grad for p in model.parameters() if p.requires_grad]
    assert all(g is not None and g.isfinite().all() for g in gradients)


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]


@pytest.mark.parametrize("device", DEVICES)
def test_losses_and_gradients_are_finite_in_half_precision(trained, device):
    objective, model, side = trained
    model, batch = model.to(device), pairs(side, count=1).to(torch.device(device))
    with torch.autocast(device, torch.bfloat16):
        parts = objective.step(model, batch)
    parts["total"].backward()
    assert all(value.isfinite() for value in parts.values())
    assert [n for n, p in model.named_parameters() if p.grad is not None and not p.grad.isfinite().all()] == []


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("trained", ["aliked", "sparse"], indirect=True)
def test_keypoints_and_assignments_are_not_rounded_by_half_precision(trained, device):
    """In bfloat16 the gradient of LightGlue's assignment points elsewhere."""
    objective, model, side = trained
    model, batch = model.to(device), pairs(side).to(torch.device(device))
    found = []
    for half in (False, True):
        model.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=half):
            objective.step(model, batch)["total"].backward()
        found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert torch.nn.functional.cosine_similarity(*found, dim=0) > 0.999


def test_no_attention_goes_to_float16_on_a_gpu():
    from kornia.feature.lightglue import Attention

    objective = load_objective("lightglue")
    model = objective.build(objective.config(None, SMALL["lightglue"]))
    assert [name for name, part in model.named_modules() if isinstance(part, Attention)] == []


def test_errors_are_one_list_a_pair_and_not_negative(trained):
    objective, model, side = trained
    batch = pairs(side, count=3)
    with torch.no_grad():
        errors = objective.errors(model.eval(), batch)
    assert len(errors) == 3 and all(e.ndim == 1 and (e >= 0).all() for e in errors)
    batch.covisible.fill_(False)
    with torch.no_grad():
        assert [len(e) for e in objective.errors(model, batch)] == [0, 0, 0]


def test_configs_survive_json(trained):
    import json

    objective = trained[0].entry
    config = objective.config(None, {})
    with torch.device("meta"):
        rebuilt = objective.build(json.loads(json.dumps(config)))
    assert sum(p.numel() for p in rebuilt.parameters()) > 10_000


def test_true_places_are_those_of_the_warp_between_pixels_too():
    batch = shifted((3, -2))
    xy = torch.tensor([[[10.0, 20.0], [20.5, 31.25], [63.9, 30.0], [30.0, 0.2]]])
    places, seen = true_places(batch, xy)
    assert torch.allclose(places[0, :2], xy[0, :2] + torch.tensor([3.0, -2.0]), atol=1e-4)
    assert seen.tolist() == [[True, True, False, False]]


def test_mutual_nearest_neighbours():
    inf = float("inf")
    distance = torch.tensor([[[1.0, 5.0, inf], [0.5, 2.0, inf], [inf, inf, inf]]])
    assert mutual_nearest(distance)[0].nonzero().tolist() == [[1, 0]]


class TestSemiDense:
    def test_cells_stand_for_their_corners_and_offsets_are_what_is_left(self):
        from xmatch.networks.loftr.objective import coarse_truth

        truth = coarse_truth(shifted((10, -3)))
        # (16, 24) px, cell 26, goes to (26, 21): cell (3, 3), 27, from which (2, -3) px are left.
        at = (truth.fixed == 26).nonzero().item()
        assert truth.moving[at] == 27 and torch.allclose(truth.offset_px[at], torch.tensor([2.0, -3.0]), atol=1e-4)
        assert len(truth.batch) == len(set(truth.moving.tolist())) > 20

    def test_the_fine_loss_is_zero_at_the_truth_and_counts_in_half_windows(self):
        from xmatch.networks.loftr.objective import fine_loss

        offset = torch.tensor([[2.0, -4.0]])
        assert fine_loss(torch.tensor([[0.5, -1.0, 0.1]]), offset, torch.ones(1)) == 0
        assert fine_loss(torch.tensor([[0.5, 0.0, 0.1]]), offset, torch.ones(1)) == 1
        assert fine_loss(torch.tensor([[0.5, 0.0, 0.1]]), offset, torch.zeros(1)) == 0

    def test_the_focal_loss_forgives_what_is_nearly_right(self):
        from xmatch.networks.loftr.objective import focal

        assert focal(torch.tensor([0.5]).log(), torch.ones(1)).item() == pytest.approx(0.25 * 0.25 * math.log(2))
        assert focal(torch.tensor([0.99]).log(), torch.ones(1)) < 1e-6

    def test_trained_weights_fit_kornias_own_network(self):
        from kornia.feature import LoFTR

        from xmatch.networks.loftr.config import LoftrConfig

        objective = load_objective("semidense")
        config = objective.config(None, SMALL["semidense"])
        theirs = LoFTR(None, LoftrConfig(**{**config, "block_dims": (8, 8, 16)}).kornia())
        theirs.load_state_dict(objective.build(config).state_dict())

    def test_the_large_size_is_the_published_one(self):
        from kornia.feature.loftr.loftr import default_cfg

        from xmatch.networks.loftr.config import SIZES

        ours = SIZES["loftr-base"].kornia()
        ours["coarse"]["temp_bug_fix"] = False
        assert ours == default_cfg


class TestLightGlue:
    def test_a_detector_of_other_descriptors_is_refused_by_name(self):
        objective = load_objective("lightglue")
        objective.companion = disk(16)
        with pytest.raises(ModelError, match="DISK describes keypoints by 16 numbers.*LightGlue match ones of 8"):
            objective.build(objective.config(None, SMALL["lightglue"]))

    def test_weights_say_whose_keypoints_they_match_where_that_has_a_name(self):
        from xmatch.networks.loading import load_companion

        objective = load_objective("lightglue")
        sift = load_companion(objective.entry, "sift")
        assert sift is not None
        for companion, name in ((sift.as_companion(), "sift"), (disk(8), None)):
            objective.companion = companion
            assert objective.config(None, {})["keypoints"] == name

    def test_errors_are_those_of_the_matches_found_and_a_keypoint_without_one_is_a_miss(self, monkeypatch):
        from xmatch.correspondences import Correspondences
        from xmatch.networks.base import Keypoints
        from xmatch.networks.lightglue.objective import Matching
        from xmatch.networks.lightglue.runner import LightGlueRunner

        xy = torch.tensor([[10.5, 10.5], [20.5, 30.5], [40.5, 40.5]]).double().numpy()
        keypoints = Keypoints(xy, torch.rand(3, 8), (64, 64))
        monkeypatch.setattr(Matching, "_keypoints", lambda self, images, valid: [keypoints])
        found = Correspondences(xy[[1, 0]], xy[[1, 0]] + [[3, 2], [3, 0]], xy[:2, 0] / 100)
        monkeypatch.setattr(LightGlueRunner, "match", lambda self, fixed, moving: found)
        objective, batch = load_objective("lightglue"), shifted((3, 0))
        objective.companion = disk(8)
        model = objective.build(objective.config(None, SMALL["lightglue"]))
        assert objective.errors(model, batch)[0].tolist() == pytest.approx([0, 2], abs=1e-3)
        assert objective.scores(model, batch) == pytest.approx([100 * (1 + 2 + 2) / 9], abs=1e-3)

    def test_an_image_without_keypoints_is_no_fault(self):
        objective = load_objective("lightglue")
        objective.companion = disk(8)
        model, batch = objective.build(objective.config(None, SMALL["lightglue"])), pairs(count=1)
        batch.moving_valid.fill_(False)
        assert objective.step(model, batch)["total"].isfinite()
        assert [len(errors) for errors in objective.errors(model.eval(), batch)] == [0]


class TestAliked:
    @pytest.fixture
    def model(self):
        torch.manual_seed(0)
        objective = load_objective("aliked")
        return objective.build(objective.config(None, SMALL["aliked"])).train()

    def test_the_head_of_keypoints_and_statistics_of_normalisation_stay_as_published(self, model):
        before = {name: value.clone() for name, value in model.named_buffers() if "running" in name}
        load_objective("aliked").step(model, pairs())["total"].backward()
        assert all(p.grad is None for p in model.score_head.parameters())
        assert model.block1.conv1.weight.grad.abs().sum() > 0 and model.desc_head.agg_weights.grad.abs().sum() > 0
        assert before and all(torch.equal(value, model.get_buffer(name)) for name, value in before.items())

    def test_training_sees_the_keypoints_and_descriptors_that_matching_uses(self, model):
        from xmatch.networks.aliked.detector import AlikedDetector

        batch = pairs(count=1)
        valid = torch.ones_like(batch.fixed_valid)
        with torch.no_grad():
            seen = model(batch.fixed, valid, batch.moving, valid)
        found = AlikedDetector(model, "cpu")(batch.fixed[0, 0].numpy(), valid[0, 0].numpy())
        nearest = torch.cdist(seen.fixed.xy[0].double(), torch.from_numpy(found.xy)).min(1)
        # Training leaves out what lies within 4 px of the end of the image, where nothing is known to be invalid.
        assert (nearest.values[seen.fixed.usable[0]] < 1e-3).all()
        same = found.descriptors[nearest.indices][seen.fixed.usable[0]]
        torch.testing.assert_close(seen.fixed_descriptors[0][seen.fixed.usable[0]], same, atol=1e-4, rtol=0)

    def test_whole_batches_have_the_descriptors_that_kornia_makes_image_by_image(self, model):
        torch.manual_seed(1)
        features, whole = torch.randn(2, 64, 40, 56), torch.randint(0, 60, (2, 200, 2)).float()
        xy = whole + torch.rand(whole.shape) * 0.8 + 0.6  # never a whole px off, where rounding decides which one it is
        last = torch.tensor([55.0, 39.0])
        kornias, _ = model.desc_head(features, list(2 * (xy - 0.5).minimum(last) / last - 1))
        torch.testing.assert_close(model.described(features, xy), torch.stack(kornias), atol=1e-5, rtol=0)

    def test_whole_batches_have_the_keypoints_that_kornia_finds_image_by_image(self, model):
        torch.manual_seed(1)
        scores = torch.rand(2, 1, 40, 56)
        scores[1, :, :, 20:] = 0
        model.points = 30
        found, last = model._strongest(scores), torch.tensor([55.0, 39.0])
        kornias = [(at[:30] + 1) / 2 * last + 0.5 for at in model.dkd(scores)[0]]
        assert found.usable.sum(1).tolist() == [len(xy) for xy in kornias] and len(kornias[1]) < 30
        for seen, usable, xy in zip(found.xy, found.usable, kornias, strict=True):
            torch.testing.assert_close(seen[usable], xy, atol=1e-4, rtol=0)

    def test_a_step_asks_the_host_for_no_number(self, model):
        batch = pairs()
        for field in dataclasses.fields(batch):
            value = getattr(batch, field.name)
            object.__setattr__(batch, field.name, value.to("meta") if isinstance(value, torch.Tensor) else value)
        loss = load_objective("aliked").losses(model.to("meta"), batch)["total"]
        loss.backward()  # on a device without numbers, what has to look at one raises
        assert model.desc_head.agg_weights.grad.is_meta

    def test_a_place_is_told_from_moving_s_other_keypoints_too(self):
        from xmatch.networks.keypoint_objective import description_loss

        here, wanted = torch.eye(3)[None], torch.ones((1, 3), dtype=torch.bool)
        alone = description_loss(here, here, wanted)
        alike, near = here[:, :1], torch.zeros((1, 3, 1), dtype=torch.bool)
        assert description_loss(here, here, wanted, alike, ~near) > alone + 0.1
        assert description_loss(here, here, wanted, alike, near) == alone


class TestSparse:
    def test_matches_are_where_the_truth_says_and_the_lonely_are_told(self):
        from xmatch.networks.lightglue.assignment import Points, assignment_truth

        fixed = Points(torch.tensor([[[10.5, 10.5], [30.5, 30.5], [62.5, 30.5]]]), torch.tensor([[True] * 3]))
        moving = Points(torch.tensor([[[33.5, 31.5], [13.5, 14.5], [50.5, 50.5]]]), torch.tensor([[True] * 3]))
        places = true_places(shifted((3, 0)), fixed.xy)
        matched, fixed_alone, moving_alone = assignment_truth(fixed, moving, *places)
        assert matched[0].nonzero().tolist() == [[1, 0]]
        # 4 px away: neither a match nor alone.
        assert fixed_alone.tolist() == [[False, False, True]] and moving_alone.tolist() == [[False, False, True]]

    def test_descriptors_of_the_same_place_want_to_be_each_others_nearest(self):
        from xmatch.networks.keypoint_objective import description_loss

        here = torch.eye(3)[None]
        wanted = torch.tensor([[True, True, False]])
        assert description_loss(here, here[:, [0, 1, 0]], wanted) < 1e-6
        assert description_loss(here, here[:, [1, 0, 2]], wanted) > 10
        assert description_loss(here, here, ~wanted & False) == 0

    def test_places_that_both_images_show_alone_have_a_gradient_and_a_finite_one(self):
        from xmatch.networks.keypoint_objective import description_loss

        here = torch.nn.functional.normalize(torch.rand(1, 4, 8), dim=-1).requires_grad_()
        description_loss(here, here.detach().flip(1), torch.tensor([[True, False, True, False]])).backward()
        assert here.grad.isfinite().all() and (here.grad[0].abs().sum(1) > 0).tolist() == [True, False, True, False]

    def test_true_places_take_the_room_of_weak_keypoints_where_no_strong_one_is(self):
        from xmatch.networks.lightglue.assignment import Points
        from xmatch.networks.sparse.network import guided_points

        def points(xy):
            return Points(torch.tensor([xy]), torch.ones(1, len(xy), dtype=torch.bool))

        def places(xy):
            return xy + 100.2, torch.tensor([[True, True, False]])

        fixed = points([[10.5, 10.5], [30.5, 30.5], [50.5, 50.5]])
        moving = points([[112.5, 111.5], [7.5, 7.5], [8.5, 8.5], [9.5, 9.5]])
        found = guided_points(fixed, moving, places, 3)
        # The first place has a strong keypoint 2 px away, the third is not shown.
        assert found.xy[0].tolist() == [[112.5, 111.5], [7.5, 7.5], [130.5, 130.5], [9.5, 9.5]]

    def test_a_keypoint_without_a_match_is_a_miss_for_its_score_and_no_error(self, monkeypatch):
        from xmatch.networks.lightglue.assignment import Points
        from xmatch.networks.sparse import objective as sparse

        scores = torch.full((1, 4, 4), -9.0)
        scores[0, 0, 0] = scores[0, 1, 1] = -0.1  # the third keypoint of fixed has no partner
        xy = torch.tensor([[[10.5, 10.5], [20.5, 30.5], [40.5, 40.5]]])
        points = Points(xy, torch.ones(1, 3, dtype=torch.bool))
        moved = Points(xy + torch.tensor([3.0, 0.0]) + torch.tensor([[0.0], [2.0], [0.0]]), points.usable)
        found = SimpleNamespace(fixed=points, moving=moved, layers=[scores])
        monkeypatch.setattr(sparse, "_forward", lambda model, batch: found)
        objective, batch = load_objective("sparse"), shifted((3, 0))
        assert objective.errors(None, batch)[0].tolist() == pytest.approx([0, 2 * 2**0.5], abs=1e-3)
        assert objective.scores(None, batch) == pytest.approx([100 * (1 + 2 + 2) / 9], abs=1e-3)

    def test_keypoints_stay_where_they_were_published_to_be(self):
        objective = load_objective("sparse")
        model = objective.build(objective.config(None, SMALL["sparse"])).train()
        objective.step(model, pairs())["total"].backward()
        assert all(p.grad is None for p in model.network.keypoint_head.parameters())
        assert any(p.grad is not None for p in model.network.parameters())

    def test_statistics_of_the_published_extractor_are_kept_while_training(self):
        objective = load_objective("sparse")
        model = objective.build(objective.config(None, SMALL["sparse"])).train()
        before = {name: value.clone() for name, value in model.named_buffers() if "running" in name}
        objective.step(model, pairs())
        assert before and all(torch.equal(value, model.get_buffer(name)) for name, value in before.items())

    def test_a_perfect_assignment_costs_nothing(self):
        from xmatch.networks.lightglue.assignment import assignment_loss

        matched = torch.zeros((1, 2, 2), dtype=torch.bool)
        matched[0, 0, 1] = True
        scores = torch.full((1, 3, 3), -9.0)
        scores[0, 0, 1] = scores[0, 1, 2] = scores[0, 2, 0] = 0
        alone = torch.tensor([[False, True]]), torch.tensor([[True, False]])
        assert assignment_loss(scores, matched, *alone) == 0
        assert assignment_loss(scores, ~matched, *alone) > 4
