"""From views to refined poses, many pairs at once: what `matchers.structural.propose` does by edges, on a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch

from xmatch.matchers.base import Proposal, SearchRange
from xmatch.matchers.search.descriptors import Descriptor
from xmatch.matchers.search.gauss_newton import LEVELS
from xmatch.matchers.search.on_device.descriptors import (
    Describe,
    Views,
    bytes_of_views,
    pooled_edge_descriptors,
)
from xmatch.matchers.search.on_device.fourier import alike, search
from xmatch.matchers.search.on_device.gauss_newton import refine
from xmatch.matchers.search.on_device.poses import Poses, distinct
from xmatch.matchers.search.pooled_descriptors import CELL_PX
from xmatch.matchers.search.pooled_descriptors import pooled_edge_descriptors as one_by_one
from xmatch.matchers.search.settings import SAME_POSE, SearchSettings
from xmatch.ops.frames import fitting
from xmatch.raster import View

Stage = Callable[[str], AbstractContextManager[object]]
"""Entered with the name of a stage while it is begun: for whoever wants to know how long each takes."""


@torch.inference_mode()
def propose(
    asked: Sequence[tuple[View, View, SearchRange]],
    settings: SearchSettings,
    device: str,
    describe: Describe = pooled_edge_descriptors,
    *,
    stage: Stage = lambda name: nullcontext(),
) -> list[list[Proposal]]:
    """Refined poses of each pair (fixed, moving, where to look) by one descriptor, best first, no two alike.

    All pairs whose ranges are of a kind are computed together, whatever their sizes, as many as the device has room for
    (`fitting`). Only sizes and the poses found come back to the host.
    """
    groups: dict[tuple[int, bool, bool], list[int]] = {}
    for place, (_, _, within) in enumerate(asked):
        groups.setdefault(alike(within, settings.angle_step_deg), []).append(place)
    found: list[list[Proposal]] = [[] for _ in asked]
    where = torch.device(device)
    for places in groups.values():
        taken = [bytes_of_views(*asked[place][:2]) + _bytes_of_poses(settings) for place in places]
        for fit in fitting(taken, where):
            part = [places[one] for one in fit]
            pairs, ranges = [asked[place][:2] for place in part], [asked[place][2] for place in part]
            poses = _together(pairs, ranges, settings, where, describe, stage)
            for place, proposals in zip(part, poses.proposals(), strict=True):
                found[place] = proposals
    return found


def describer(descriptor: Descriptor) -> Describe | None:
    """How a descriptor is made of many images on a device; None where only the CPU knows how."""
    if descriptor is one_by_one:
        return pooled_edge_descriptors
    made: Describe | None = getattr(descriptor, "many", None)
    return made if descriptor.stride == CELL_PX else None


def upload(pairs: Sequence[tuple[View, View]], device: str | torch.device) -> tuple[Views, Views]:
    """The fixed and the moving views of pairs."""
    fixed, moving = (Views.of([pair[side] for pair in pairs], torch.device(device)) for side in (0, 1))
    return fixed, moving


def _bytes_of_poses(settings: SearchSettings) -> int:
    """Of a pair's descriptors that stay while all of its poses are refined: five planes of every one's own scale, which
    fixed's size stands for."""
    coarse, fine = LEVELS
    poses = max(settings.found * coarse.side_px**2, settings.refined * fine.side_px**2)
    return round(4 * 5 * poses)


def _together(
    pairs: Sequence[tuple[View, View]],
    within: Sequence[SearchRange],
    settings: SearchSettings,
    device: torch.device,
    describe: Describe,
    stage: Stage,
) -> Poses:
    with stage("upload"):
        fixed, moving = upload(pairs, device)
    with stage("search"):
        found = search(
            fixed,
            moving,
            within,
            side_px=settings.side_px,
            angle_step_deg=settings.angle_step_deg,
            scale_step=settings.scale_step,
            keep=settings.found,
            describe=describe,
        )
    coarse, fine = LEVELS
    with stage("coarse refinement"):
        nearby = refine(fixed, moving, found, coarse)
    with stage("fine refinement"):
        # The search's own order and the refined one fail on different pairs: both have a say.
        chosen = distinct(_in_turn(nearby.by_score(), nearby), moving.sizes, limit=settings.refined, apart=0.0)
        refined = refine(fixed, moving, chosen, fine).by_score()
        return distinct(refined, moving.sizes, limit=settings.kept, apart=2 * SAME_POSE)


def _in_turn(one: Poses, other: Poses) -> Poses:
    """The first of each, then the second of each, and so on."""
    matrices, scores, exist = (
        torch.stack([getattr(poses, name) for poses in (one, other)], 2).flatten(1, 2)
        for name in ("matrices", "scores", "exist")
    )
    return Poses(matrices, scores, exist)
