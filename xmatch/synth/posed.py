"""Views of procedural scenes with depth and the poses of their cameras, in memory and as files.

A folder a scene, as `sources/cameras.py` reads it: views.jsonl, an image and a depth map a view.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor

from xmatch.coords import CENTRE
from xmatch.errors import OutputError, UsageError
from xmatch.io.writing.atomic import atomic_writes, check_target
from xmatch.ops.threads import torch_threads
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.modalities.filters import gray
from xmatch.synth.pinhole import Pinhole, draw_cameras, stretched
from xmatch.synth.seeds import device_rng, host_rng
from xmatch.synth.sources.parallax import look
from xmatch.synth.sources.perspective import STEPS
from xmatch.synth.worlds import indoor, make_world

if TYPE_CHECKING:
    from xmatch.synth.recipe import SourceSpec, SynthRecipe

GROUND_PER_VIEW = 2.0
"""Side of a ground over that of its views: tilted views reach far."""


@dataclass(frozen=True, eq=False)
class PosedView:
    """What one camera sees of a scene."""

    images: dict[str, np.ndarray]
    """Sensor -> (S, S) uint8, 0 beyond the scene."""
    depth: np.ndarray
    """(S, S) float32 along the camera's axis, in the unit of the poses; 0 beyond the scene."""
    intrinsics: np.ndarray
    """(3, 3) camera -> px, corner-counted."""
    camera_to_world: np.ndarray
    """(4, 4), x right, y down, z forward."""


Rendered = tuple[dict[str, Tensor], Tensor, list[Pinhole]]
"""Sensor -> (V, 1, S, S) images, (V, 1, S, S) depths, and V single cameras."""


@torch.no_grad()
def posed_views(
    kind: str,
    views: int,
    size: int,
    rng: torch.Generator,
    difficulty: Difficulty = Difficulty.FULL,
    sensors: Sequence[str] | None = None,
) -> list[PosedView]:
    """`views` of one scene of a world, of `size` px.

    Args:
        difficulty: `max_parallax_deg` says how far cameras are from the first.
        sensors: those that see every view; default: all that the world has.

    Raises:
        UsageError: a world whose scenes have neither heights nor depth, or a sensor that it does not have.
    """
    if kind not in POSED:
        raise UsageError(f"{kind} has no depth to be seen from several sides", hint=f"known: {', '.join(POSED)}")
    images, depth, cameras = POSED[kind](kind, views, size, rng, difficulty, sensors)
    found = []
    for number, camera in enumerate(cameras):
        shown = {name: (255 * image[number, 0]).round().clamp(0, 255).byte().numpy() for name, image in images.items()}
        pose, intrinsics = camera.camera_to_world[0], camera.intrinsics_px(size)[0]
        found.append(PosedView(shown, depth[number, 0].float().numpy(), intrinsics, pose))
    return found


def _over_ground(
    kind: str, views: int, size: int, rng: torch.Generator, difficulty: Difficulty, sensors: Sequence[str] | None
) -> Rendered:
    scene = make_world(kind, 1, 8 * round(GROUND_PER_VIEW * size / 8), rng)
    assert scene.height is not None
    names = scene.sensors if sensors is None else sensors
    flat = torch.cat([gray(scene.render(name, rng)) for name in names], 1)
    host = host_rng(rng)
    cameras = draw_cameras(1, views, 2 * size / scene.height.shape[-1], host, difficulty)
    height = stretched(scene.height, cameras, host)
    images, depths = [], []
    for camera in cameras:
        seen = look(height, camera, size, STEPS)
        images.append(seen.image(flat) * seen.on_ground)
        depths.append(camera.depth(seen.ground, seen.height * seen.per_px) * seen.on_ground)
    stack = torch.cat(images)
    return {name: stack[:, i : i + 1] for i, name in enumerate(names)}, torch.cat(depths), cameras


def _in_room(
    kind: str, views: int, size: int, rng: torch.Generator, difficulty: Difficulty, sensors: Sequence[str] | None
) -> Rendered:
    room = indoor.make_room(1, size, rng, views, difficulty.max_parallax_deg)
    names = tuple(indoor.SENSORS) if sensors is None else sensors
    unknown = [name for name in names if name not in indoor.SENSORS]
    if unknown:
        raise UsageError(f"{kind} has no sensor {unknown[0]!r}", hint=f"known: {', '.join(indoor.SENSORS)}")
    images = {name: indoor.SENSORS[name](room, rng).view(views, 1, size, size) for name in names}
    return images, room.depth.view(views, 1, size, size), room.stand.cameras()


POSED: dict[str, Callable[..., Rendered]] = {"land": _over_ground, "city": _over_ground, "indoor": _in_room}
"""World -> builder(kind, views, size, rng, difficulty, sensors)."""


def kinds_of(data: Sequence[SourceSpec]) -> tuple[str, ...]:
    """Worlds that a recipe names for posed views; all that can be, where it names none.

    Raises:
        UsageError: a source that is no world, or a world that cannot be.
    """
    if any(spec.kind != "worlds" for spec in data):
        raise UsageError("views are made of worlds alone", hint=f"--worlds {','.join(POSED)}")
    named = [str(name) for spec in data for name in spec.names or POSED]
    wrong = [name for name in named if name not in POSED]
    if wrong:
        raise UsageError(f"{wrong[0]} has no depth to be seen from several sides", hint=f"known: {', '.join(POSED)}")
    return tuple(named)


def missing_scenes(folder: Path, kinds: Sequence[str], recipe: SynthRecipe, overwrite: bool = False) -> list[int]:
    """Numbers of the recipe's scenes that are not there yet; with `overwrite`, of all.

    Raises:
        OutputError: a scene was made with other settings, or the folder cannot be written.
    """
    check_target(_manifest(folder, 0), overwrite=True)
    if overwrite:
        return list(range(recipe.count))
    lacking = []
    for number in range(recipe.count):
        manifest = _manifest(folder, number)
        if not manifest.exists():
            lacking.append(number)
        elif _settings_there(manifest) != _settings(kinds, recipe, number):
            raise OutputError(
                "holds a scene made with other settings", hint="--overwrite replaces it", path=manifest.parent
            )
    return lacking


def write_scene(folder: Path, kinds: Sequence[str], recipe: SynthRecipe, number: int) -> None:
    """Write scene `number` of the recipe's `count`, kinds in turn, whole or not at all; it replaces one that is there.

    Every view is seen by the first sensor of its world (optical, visible): drawing pairs makes others from it.

    Raises:
        OutputError: the folder cannot be written.
    """
    kind = kinds[number % len(kinds)]
    sensor = "visible" if kind == "indoor" else "optical"
    rng = device_rng("cpu", recipe.seed, number)
    with torch_threads(1):  # sums that several threads share are rounded otherwise, and the bytes would tell
        found = posed_views(kind, recipe.views, recipe.size, rng, recipe.difficulty, [sensor])
    facts = {"sensor": sensor, "world": kind, "settings": _settings(kinds, recipe, number)}
    _write(_manifest(folder, number), found, facts)


def _settings(kinds: Sequence[str], recipe: SynthRecipe, number: int) -> str:
    """Of all that decides the bytes of a scene besides its number: the first half of a SHA-256."""
    made_of = [kinds[number % len(kinds)], recipe.views, recipe.size, recipe.seed, asdict(recipe.difficulty)]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:32]


def _settings_there(manifest: Path) -> object:
    """None where the file is not ours."""
    try:
        with open(manifest, encoding="utf-8") as lines:
            line = json.loads(lines.readline())
    except (OSError, ValueError):
        return None
    return line.get("settings") if isinstance(line, dict) else None


def _manifest(folder: Path, number: int) -> Path:
    return folder / f"scene-{number:06d}" / "views.jsonl"


def _write(manifest: Path, views: Sequence[PosedView], facts: dict[str, str]) -> None:
    names = [(f"{number:03d}.png", f"{number:03d}.npy") for number in range(len(views))]
    paths = [manifest.parent / name for pair in names for name in pair]
    lines = []
    # The list comes last: images without one are what a run has left that was killed.
    with atomic_writes([*paths, manifest], overwrite=True) as temporary:
        for (image, depth), view in zip(names, views, strict=True):
            shown = view.images[facts["sensor"]]
            temporary[manifest.parent / image].write_bytes(cv2.imencode(".png", shown)[1].tobytes())
            with open(temporary[manifest.parent / depth], "wb") as file:
                np.save(file, view.depth)
            centred = view.intrinsics.copy()
            centred[:2, 2] -= CENTRE  # such files count from the first centre
            line = {
                "image": image,
                "depth": depth,
                "size": [shown.shape[1], shown.shape[0]],
                "intrinsics": centred.tolist(),
                "camera_to_world": view.camera_to_world.tolist(),
                **facts,
            }
            lines.append(json.dumps(line) + "\n")
        temporary[manifest].write_text("".join(lines), encoding="utf-8")
