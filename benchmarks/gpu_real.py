"""A network's own answer on real pairs of known pose, all pairs of a size in a few batches: seconds on a GPU.

    python benchmarks/gpu_real.py FOLDER --weights W.safetensors xmatch-small xmatch-sparse xmatch-aliked

What matchers do once structure has proposed a pose near the truth: moving as it would look under it, cells matched
densely or keypoints, one similarity through the sure ones; of several sizes the answer that more certainty agrees with.
The proposed pose is the truth disturbed by chance, the same for all weights.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from xmatch.networks.aliked.network import Aliked, DescribedPair
from xmatch.networks.sparse.network import SparseMatcher

SIDES_PX = (256, 384)
LOOKS = ({"turn": 20.0, "scale": 1.25, "shift": 0.25}, {"turn": 6.0, "scale": 1.06, "shift": 0.05})
"""How far from the truth a pose is proposed: degrees, factor, share of the side; every pair is looked at by each."""
WITHIN_PX = (1, 3, 5)
"""Of the view."""
TOLERANCE_PX = 4.0
MIN_CERTAINTY, CELLS, TRIALS, LEAST = 0.1, 1024, 768, 6
AUC_PX = (5, 10)
"""Of the fixed file; their mean is the score."""
MAIN_SHARE = 0.8
"""Of SRIF's sets in the score; the other sets have the rest."""
BATCH_PX = 32 * 256 * 256
KEYPOINTS = 512
OBJECTIVES = {"xmatch": "dense", "xmatch-sparse": "sparse", "aliked": "aliked"}


@dataclass(frozen=True, eq=False)
class Looks:
    """N views of S x S px; complex numbers are positions x + iy in view px, the corner of the first at 0."""

    sets: tuple[str, ...]
    images: Tensor
    """(N, 2, S, S) uint8, fixed and moving as laid."""
    valid: Tensor
    """(N, 2, S, S) bool."""
    turn: Tensor
    """(N,) complex128: where fixed's z lies in moving is turn * z + shift."""
    shift: Tensor
    corners: Tensor
    """(N, 4) complex128: moving's corners in the moving view."""
    px: Tensor
    """(N,) px of the fixed file in a px of the view."""

    def __len__(self) -> int:
        return len(self.sets)


def load_looks(
    folder: Path, side: int, device: torch.device, limit: int | None = None, skip: int = 0, seed: int = 7
) -> Looks:
    """Of the pairs of a folder's pairs.jsonl after `skip`, of each set the first `limit`."""
    rows = [json.loads(line) for line in (folder / "pairs.jsonl").read_text().splitlines()[skip:]]
    columns: list[list[Any]] = [[] for _ in range(7)]
    counts: dict[str, int] = {}
    for number, row in enumerate(rows):
        counts[row["set"]] = counts.get(row["set"], 0) + 1
        if limit is not None and counts[row["set"]] > limit:
            continue
        fixed, moving = (_read(folder / row[name]) for name in ("fixed", "moving"))
        half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        truth = half @ np.array(row["moving_to_fixed"], float) @ np.linalg.inv(half)
        for look, bounds in enumerate(LOOKS):
            values = _look(fixed, moving, truth, side, bounds, np.random.default_rng((seed, number, look)))
            for column, value in zip(columns, (row["set"], *values), strict=True):
                column.append(value)
    sets, images, valid, turn, shift, corners, px = columns
    numbers = (torch.from_numpy(np.array(column)).to(device) for column in (turn, shift, corners, px))
    stacks = (torch.from_numpy(np.stack(column)).to(device) for column in (images, valid))
    return Looks(tuple(sets), *stacks, *numbers)


def _read(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)


def _look(
    fixed: np.ndarray, moving: np.ndarray, truth: np.ndarray, side: int, bounds: dict[str, float], host
) -> tuple[np.ndarray, np.ndarray, complex, complex, np.ndarray, float]:
    """Both on S x S px, and the similarity between them."""
    height, width = fixed.shape
    factor = side / np.sqrt(height * width)
    to_view = np.array([[factor, 0, (side - factor * width) / 2], [0, factor, (side - factor * height) / 2], [0, 0, 1]])
    angle = np.deg2rad(host.uniform(-1, 1) * bounds["turn"])
    turn = bounds["scale"] ** host.uniform(-1, 1) * np.exp(1j * angle)
    middle = side / 2 * (1 + 1j)
    shift = middle - turn * middle + bounds["shift"] * side * complex(*host.uniform(-1, 1, 2))
    moved = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag], [0, 0, 1]])
    onto = moved @ to_view @ truth
    images, masks = zip(_laid(fixed, to_view, side), _laid(moving, onto, side), strict=True)
    h, w = moving.shape
    corners = np.array([[0, 0, 1], [w, 0, 1], [w, h, 1], [0, h, 1]]) @ onto.T
    places = (corners[:, 0] + 1j * corners[:, 1]) / corners[:, 2]
    return np.stack(images), np.stack(masks), turn, shift, places, 1 / factor


def _laid(image: np.ndarray, matrix: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """An image under a map between corner-counted px, and where there is some."""
    factor = min(1.0, float(np.sqrt(abs(np.linalg.det(matrix[:2, :2])))))
    height, width = image.shape
    if factor < 1:
        small = cv2.resize(image, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)
        matrix = matrix @ np.diag([width / small.shape[1], height / small.shape[0], 1])
        image = small
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    centred = (np.linalg.inv(half) @ matrix @ half)[:2]
    laid = cv2.warpAffine(image, centred, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    cover = cv2.warpAffine(np.ones(image.shape, np.float32), centred, (side, side), flags=cv2.INTER_LINEAR)
    valid = cover > 0.99
    return laid * valid, valid


@torch.inference_mode()
def measured(model: nn.Module, every: tuple[Looks, ...], bf16: bool = False) -> dict[str, Any]:
    """Score, and by set the AUCs and the shares of sure matches near the truth.

    Args:
        model: an `XMatch`, a `SparseMatcher` or an `Aliked`; left in evaluation mode.
        every: the same pairs at several sizes.
    """
    model.eval()
    answers = [_answers(model, looks, bf16) for looks in every]
    agreed = torch.stack([agreement for _, agreement, _ in answers])
    errors = torch.stack([error for error, _, _ in answers])
    error = errors.gather(0, agreed.argmax(0, keepdim=True))[0].cpu().numpy()
    shares = torch.stack([share for _, _, share in answers]).mean(0).cpu().numpy()
    sets = np.array(every[0].sets)
    rows = {}
    for name in dict.fromkeys(every[0].sets):
        own = error[sets == name]
        row = {f"auc{limit}": float(np.maximum(0, 1 - own / limit).mean()) for limit in AUC_PX}
        row |= {
            f"within_{px}px": float(share) for px, share in zip(WITHIN_PX, shares[sets == name].mean(0), strict=True)
        }
        rows[name] = {key: round(100 * value, 2) for key, value in row.items()} | {"n": len(own)}
    means = {name: np.mean([row[f"auc{limit}"] for limit in AUC_PX]) for name, row in rows.items()}
    main = [value for name, value in means.items() if name[0].isupper()]
    others = [value for name, value in means.items() if not name[0].isupper()]
    score = MAIN_SHARE * np.mean(main) + (1 - MAIN_SHARE) * np.mean(others or [0])
    srif = {
        f"srif_auc{limit}": np.mean([r[f"auc{limit}"] for n, r in rows.items() if n[0].isupper()]) for limit in AUC_PX
    }
    return {"score": round(float(score), 3), **{k: round(float(v), 2) for k, v in srif.items()}, "sets": rows}


def _answers(model: nn.Module, looks: Looks, bf16: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Corner errors, px of the fixed file, the certainty that agrees, (N, 3) shares of sure cells near the truth."""
    side = looks.images.shape[-1]
    found = []
    for places in torch.arange(len(looks), device=looks.images.device).split(max(1, BATCH_PX // side**2)):
        images, valid = looks.images[places].float() / 255, looks.valid[places]
        with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
            z, w, sure = (keypoints if isinstance(model, SparseMatcher | Aliked) else cells)(model, images, valid)
        sure = torch.where(sure > MIN_CERTAINTY, sure, 0.0).double()
        turn, shift = looks.turn[places, None], looks.shift[places, None]
        off = _length(w - (turn * z + shift))
        near = torch.stack([((off < px) * sure).sum(1) for px in WITHIN_PX], 1) / sure.sum(1).clamp_min(1)[:, None]
        a, b, agreement = fitted(z, w, sure)
        there = (looks.corners[places] - b[:, None]) / a[:, None]
        truth = (looks.corners[places] - shift) / turn
        error = _length(there - truth).mean(1) * looks.px[places]
        found.append((torch.where(agreement > 0, error, torch.inf), agreement, near))
    return tuple(torch.cat(column) for column in zip(*found, strict=True))


def cells(model: nn.Module, images: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Positions (N, K) in fixed and in moving, and certainties, of all cells of a dense network."""
    side = images.shape[-1]
    finest = model(images[:, :1], valid[:, :1], images[:, 1:], valid[:, 1:]).finest
    warp, certainty = finest.warp.float(), finest.certainty.float().sigmoid().flatten(1)
    centres = (torch.arange(side // finest.stride, device=warp.device).double() + 0.5) * finest.stride
    z = torch.complex(*torch.meshgrid(centres, centres, indexing="xy")).flatten()
    to = (warp.flatten(1, 2).double() + 1) * side / 2
    whole = torch.nn.functional.avg_pool2d(valid[:, :1].float(), finest.stride).flatten(1) > 0.99
    at = to.floor().long()
    inside = ((at >= 0) & (at < side)).all(-1)
    at = at.clamp(0, side - 1)
    shown = valid[:, 1].flatten(1).gather(1, at[..., 1] * side + at[..., 0])
    return z.expand(len(to), -1), torch.complex(*to.unbind(-1)), certainty * (whole & inside & shown)


def keypoints(model: SparseMatcher | Aliked, images: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same of the keypoints of a network that finds some; those that are nobody's best have no certainty."""
    model.points = KEYPOINTS
    found = model(images[:, :1], valid[:, :1], images[:, 1:], valid[:, 1:])
    if isinstance(found, DescribedPair):  # log of the certainty that `MutualNearest` gives
        likeness = found.fixed_descriptors @ found.moving_descriptors.transpose(1, 2)
        scores = ((1 + likeness.float()) / 2).clamp(0, 1).log()
    else:
        scores = found.layers[-1][:, :-1, :-1].float()
    usable = found.fixed.usable[:, :, None] & found.moving.usable[:, None]
    scores = torch.where(usable, scores, -torch.inf)
    best, column = scores.max(2)
    mutual = scores.argmax(1).gather(1, column) == torch.arange(scores.shape[1], device=scores.device)
    z, w = (torch.complex(*points.xy.double().unbind(-1)) for points in (found.fixed, found.moving))
    return z, w.gather(1, column), best.exp() * mutual


def fitted(z: Tensor, w: Tensor, weight: Tensor, seed: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """For each row the similarity w = a z + b that most weight agrees with, and that weight (0: none was found).

    Args:
        z, w: (N, K) complex128.
        weight: (N, K), 0: left out.
    """
    count = len(z)
    rng = torch.Generator().manual_seed(seed)
    order = (torch.rand(z.shape, generator=rng).to(z.device) * (weight > 0)).argsort(1, descending=True)[:, :CELLS]
    zs, ws, cs = (values.gather(1, order) for values in (z, w, weight))
    there = (cs > 0).sum(1, keepdim=True).clamp_min(2)
    picks = (torch.rand((2, count, TRIALS), generator=rng).to(z.device) * there).long()
    picks[1] = torch.where(picks[0] == picks[1], (picks[1] + 1) % there, picks[1])
    (z0, z1), (w0, w1) = ([values.gather(1, pick) for pick in picks] for values in (zs, ws))
    apart = z1 - z0
    a = (w1 - w0) / torch.where(_length(apart) < 1, torch.ones_like(apart), apart)
    b = w0 - a * z0
    support = _support(zs, ws, cs, a, b)
    support = torch.where((_length(a) > 0.5) & (_length(a) < 2), support, 0.0)
    best = support.argmax(1, keepdim=True)
    a, b = a.gather(1, best), b.gather(1, best)
    for _ in range(8):
        off = _length(w - (a * z + b))
        use = weight * (1 - (off / TOLERANCE_PX) ** 2).clamp_min(0) ** 2
        total = use.sum(1, keepdim=True).clamp_min(1e-9)
        mean_z, mean_w = (use * z).sum(1, keepdim=True) / total, (use * w).sum(1, keepdim=True) / total
        dz, dw = z - mean_z, w - mean_w
        spread = (use * _length(dz) ** 2).sum(1, keepdim=True)
        new = (use * dz.conj() * dw).sum(1, keepdim=True) / spread.clamp_min(1e-9)
        moved = spread > 1e-6
        a, b = torch.where(moved, new, a), torch.where(moved, mean_w - new * mean_z, b)
    agrees = weight * (_length(w - (a * z + b)) < TOLERANCE_PX)
    enough = (agrees > 0).sum(1) >= LEAST
    return a[:, 0], b[:, 0], torch.where(enough, agrees.sum(1), 0.0)


def _length(z: Tensor) -> Tensor:
    """Absolute values; `abs` of complex numbers is compiled on a GPU when it is first called."""
    return torch.hypot(z.real, z.imag)


def _support(z: Tensor, w: Tensor, weight: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """(N, T) weight that agrees with each candidate, some candidates at a time."""
    parts = []
    for some_a, some_b in zip(a.split(64, 1), b.split(64, 1), strict=True):
        off = _length(w[:, None] - (some_a[..., None] * z[:, None] + some_b[..., None]))
        parts.append((weight[:, None] * (1 - off / TOLERANCE_PX).clamp_min(0)).sum(2))
    return torch.cat(parts, 1)


def main() -> None:
    from xmatch.io.weights.files import load_state, load_weights
    from xmatch.networks.registry import load_objective
    from xmatch.networks.weights import find_weights

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", nargs="+", required=True)
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES_PX)
    parser.add_argument("--limit", type=int, help="pairs of a set")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    every = tuple(load_looks(args.folder, side, torch.device(args.device), args.limit) for side in args.sides)
    for name in args.weights:
        path = find_weights(name)
        tensors, metadata = load_weights(path)
        model = load_objective(OBJECTIVES[metadata.architecture]).build(metadata.config).to(args.device)
        load_state(model, tensors, path)
        begun = time.perf_counter()
        print(name, json.dumps(measured(model, every)), f"{time.perf_counter() - begun:.1f} s", flush=True)


if __name__ == "__main__":
    main()
