"""Posed images with depth: the files of a scene, and where px of one view lie in another."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any

import cv2
import numpy as np

from xmatch.errors import InputError
from xmatch.synth.sources.files import LONGEST_SIDE_PX, SUFFIXES

DEPTH_PNG_PER_METRE = 1000.0
"""16-bit depth images hold mm, as in ScanNet."""
OCCLUDED = 0.05
"""Relative difference of depths above which a point is hidden by another (as in RoMa and LoFTR's training)."""
FOLDERS = {"image": ("color", "images", "image", "rgb"), "depth": ("depth", "depths"), "pose": ("pose", "poses")}
INTRINSICS = ("intrinsic/intrinsic_color.txt", "intrinsics.txt", "intrinsic.txt")


@dataclass(frozen=True, eq=False)
class CameraView:
    """One posed image with depth."""

    image: Path
    depth: Path
    intrinsics: np.ndarray
    """(3, 3) camera -> share of the image's width and height, corner-counted: resizing changes nothing."""
    camera_to_world: np.ndarray
    """(4, 4), x right, y down, z forward."""


def find_scenes(folder: str | Path) -> list[list[CameraView]]:
    """Scenes below a folder: a views.jsonl each, or the layout of ScanNet (color, depth, pose, intrinsic).

    Raises:
        InputError: none, or a file in them that cannot be understood.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError("is not a folder" if root.exists() else "no such folder", path=root)
    scenes = []
    for path, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if is_scene(Path(path)):
            listed = "views.jsonl" in names
            scenes.append(_listed(Path(path) / "views.jsonl") if listed else _scannet(Path(path)))
            folders.clear()
    scenes = [views for views in scenes if len(views) > 1]
    if not scenes:
        raise InputError(
            "no scene with two posed views here", hint="wanted: color/, depth/, pose/, or views.jsonl", path=root
        )
    return scenes


def is_scene(folder: Path) -> bool:
    """Whether a folder is laid out as one scene."""
    return (folder / "views.jsonl").is_file() or all(_one_of(folder, kind) is not None for kind in FOLDERS)


def read_depth(path: Path) -> np.ndarray:
    """(H, W) float32 distance along the camera's axis, 0 where unknown; metres, or the unit of the poses.

    16-bit PNG (mm), .npy, or .h5 with a data set "depth" (MegaDepth; needs h5py).

    Raises:
        InputError: not such a file.
    """
    try:
        if path.suffix == ".npy":
            depth = np.array(_npy(path))
        elif path.suffix in (".h5", ".hdf5"):
            depth = _h5(path, lambda data: data[()])
        else:
            image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
            if image is None or image.dtype != np.uint16:
                raise ValueError("not a 16-bit image")
            depth = image / DEPTH_PNG_PER_METRE
        if depth.ndim != 2 or not depth.size:
            raise ValueError(f"its shape is {depth.shape}")
        if depth.dtype.kind not in "fiu":
            raise ValueError(f"its values are {depth.dtype}")
    except (OSError, RuntimeError, ValueError, cv2.error) as error:
        raise InputError(f"not a depth map: {error}", path=path) from None
    depth = np.nan_to_num(depth.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    factor = LONGEST_SIDE_PX / max(depth.shape)
    if factor < 1:
        size = (max(1, round(depth.shape[1] * factor)), max(1, round(depth.shape[0] * factor)))
        # Averages of depths lie on nothing.
        depth = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST_EXACT)
    return depth


def depth_shape(path: Path) -> tuple[int, int]:
    """(height, width) of a depth map as the header of its .npy or .h5 says it; errors as `read_depth`."""
    try:
        if path.suffix == ".npy":
            shape = _npy(path).shape
        elif path.suffix in (".h5", ".hdf5"):
            shape = _h5(path, lambda data: data.shape)
        else:
            raise ValueError("want .h5 or .npy")
        height, width = shape
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"not a depth map: {error}", path=path) from None
    return height, width


def at(depth: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Depth of the px at places (..., 2), share of width and height; 0 outside."""
    height, width = depth.shape
    column, row = np.floor(share[..., 0] * width), np.floor(share[..., 1] * height)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    index = np.where(inside, row * width + column, 0).astype(np.int64)
    return np.where(inside, depth.ravel()[index], 0.0)


def reprojected(
    share: np.ndarray, depth: np.ndarray, first: CameraView, second: CameraView
) -> tuple[np.ndarray, np.ndarray]:
    """Where points of one view lie in another.

    Args:
        share: (..., 2) places in `first`, share of its width and height.
        depth: (...) their depths.

    Returns:
        (..., 2) places in `second`, far outside where they are behind its camera, and (...) depths there.
    """
    move = np.linalg.inv(second.camera_to_world) @ first.camera_to_world
    # second.K (R K1^-1 [u v 1] d + t), as one matrix on [u v 1]: pinhole projection, Hartley and Zisserman (6.8).
    turn = second.intrinsics @ move[:3, :3] @ np.linalg.inv(first.intrinsics)
    shift = second.intrinsics @ move[:3, 3]
    x, y = share[..., 0], share[..., 1]
    u, v, z = ((turn[i, 0] * x + turn[i, 1] * y + turn[i, 2]) * depth + shift[i] for i in range(3))
    front = z > 1e-6
    safe = np.where(front, z, 1.0)
    there = np.stack([u / safe, v / safe], -1)
    there[~front] = 1e3
    return there.clip(-1e3, 1e3), np.where(front, z, 0.0)


def _listed(manifest: Path) -> list[CameraView]:
    """A line per view: image, depth, size ([width, height] px of the image that the intrinsics are for), intrinsics
    (3x3, first centre at 0), and camera_to_world or world_to_camera (4x4)."""
    views = []
    for number, line in enumerate(manifest.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            pose = np.asarray(row["camera_to_world"] if "camera_to_world" in row else row["world_to_camera"], float)
            pose = pose.reshape(4, 4) if "camera_to_world" in row else np.linalg.inv(pose.reshape(4, 4))
            intrinsics = in_shares(np.asarray(row["intrinsics"], float), *row["size"])
            views.append(CameraView(manifest.parent / row["image"], manifest.parent / row["depth"], intrinsics, pose))
        except (ValueError, KeyError, TypeError, np.linalg.LinAlgError) as error:
            raise InputError(f"line {number}: not a posed view: {error}", path=manifest) from None
    return views


def _scannet(folder: Path) -> list[CameraView]:
    images, depths, poses = (_one_of(folder, kind) or folder for kind in FOLDERS)  # `is_scene` has seen all three
    found = {p.stem: p for p in sorted(depths.iterdir()) if not p.name.startswith(".")}
    files = [p for p in sorted(images.iterdir()) if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
    matrix = next((folder / name for name in INTRINSICS if (folder / name).is_file()), None)
    if matrix is None:
        raise InputError("a scene without intrinsics", hint=f"wanted: {INTRINSICS[0]}", path=folder)
    views, intrinsics = [], None
    for image in files:
        pose_file, depth = poses / f"{image.stem}.txt", found.get(image.stem)
        if depth is None or not pose_file.is_file():
            continue
        pose = _matrix(pose_file)
        if not np.isfinite(pose).all():
            continue  # ScanNet writes -inf where tracking was lost
        if intrinsics is None:
            shape = cv2.imdecode(np.fromfile(image, np.uint8), cv2.IMREAD_GRAYSCALE)
            if shape is None:
                continue
            intrinsics = in_shares(_matrix(matrix), shape.shape[1], shape.shape[0])
        views.append(CameraView(image, depth, intrinsics, pose))
    return views


def in_shares(intrinsics: np.ndarray, width: float, height: float) -> np.ndarray:
    """Intrinsics of a (width, height) px image with its first centre at (0, 0), as `CameraView` holds them."""
    centred = intrinsics[:3, :3].copy()
    centred[:2, 2] += 0.5
    return np.diag([1 / width, 1 / height, 1.0]) @ centred


def _matrix(path: Path) -> np.ndarray:
    try:
        matrix = np.loadtxt(path)
    except (OSError, ValueError) as error:
        raise InputError(f"not a matrix: {error}", path=path) from None
    if matrix.shape not in ((3, 3), (4, 4)):
        raise InputError(f"a matrix of shape {matrix.shape}, want 3x3 or 4x4", path=path)
    return matrix


def _one_of(folder: Path, kind: str) -> Path | None:
    return next((folder / name for name in FOLDERS[kind] if (folder / name).is_dir()), None)


def _npy(path: Path) -> np.ndarray:
    """The array of a .npy file, which stays on the disk. `np.load` would take other files too, and fail in other ways.

    Raises:
        OSError, ValueError: not such a file, or one cut short.
    """
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except (TokenError, EOFError, OverflowError) as error:  # of a damaged header
        raise ValueError(str(error)) from None


def _h5(path: Path, read: Callable[[Any], Any]) -> Any:
    """
    Raises:
        OSError, RuntimeError, ValueError: not such a file, or its "depth" is no data set of its own.
    """
    try:
        import h5py
    except ImportError:
        raise InputError("reading .h5 needs h5py", hint="pip install h5py, or convert to .npy", path=path) from None
    with h5py.File(path, "r") as file:
        # A file from elsewhere may lead to others of this machine (xmatch.io.rasters.hdf5_outside). Only this one data
        # set is asked for, so that the library can be asked before anything is followed.
        links = file.id.links
        if not links.exists(b"depth"):
            raise ValueError('it has no "depth"')
        if links.get_info(b"depth").type != h5py.h5l.TYPE_HARD:
            raise ValueError('its "depth" leads elsewhere')
        data = file["depth"]
        if not isinstance(data, h5py.Dataset) or data.shape is None:
            raise ValueError('its "depth" is no data set')
        if data.is_virtual or data.external:
            raise ValueError('its "depth" keeps values in other files')
        return read(data)
