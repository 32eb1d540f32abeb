"""Fields of structure: of all shifts, of other turns and of other images, the true pose shall correlate best."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.errors import UsageError
from xmatch.networks.architecture import NetworkObjective
from xmatch.networks.fieldnet.cells import STRIDE
from xmatch.networks.fieldnet.network import MULTIPLE, FieldNet
from xmatch.synth.pairs import TrainingPairs

MIN_SEEN = 0.3
"""Share of fixed that must be seen in moving for a pair to be learnt from. Not tuned."""
MIN_OVERLAP = 0.3
"""Of the smaller cover: shifts with less do not count. Not tuned."""
CANVAS = 1.25
"""Side of the square that moving is warped into, over that of fixed. Room for a turned square that is scaled up a
little; the corners may be cut. Not tuned."""
LOOSE_TURN_DEG, LOOSE_SCALE = 2.5, 1.05
"""How far the pose that moving is warped by may be off, as the steps of a search leave it."""


class Fields(NetworkObjective):
    def step(self, model: nn.Module, batch: TrainingPairs, *, finest: int = 1) -> dict[str, Tensor]:
        loss, right, usable, sharpness = self._placed(model, batch)
        weight = usable.float() / usable.float().sum().clamp(min=1)
        return {"total": (loss * weight).sum(), "right": (right * weight).sum().detach(), "sharpness": sharpness}

    @torch.no_grad()
    def scores(self, model: nn.Module, batch: TrainingPairs) -> list[float]:
        """The probability, percent, that each pair's true place has among all places, other turns and other images; NaN
        where too little is seen to ask."""
        loss, _, usable, _ = self._placed(model, batch)
        return torch.where(usable, 100 * torch.exp(-loss), torch.nan).tolist()

    def _placed(self, model: nn.Module, batch: TrainingPairs) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Negative log probability of the true place of each pair, whether it wins, whether the pair is of use, all
        (B,); and the sharpness."""
        poses = _true_poses(batch)
        count = len(batch)
        planes, cover = model(*_both(batch))
        module = _fieldnet(model)
        loose = _loosened(poses, turn_deg=LOOSE_TURN_DEG, scale=LOOSE_SCALE)
        elsewhere = _turned_away(poses)
        turned = [_warped(planes[count:], cover[count:], pose, module.config.orders) for pose in (loose, elsewhere)]
        fixed = planes[:count], cover[:count]
        everywhere = [_scores(*fixed, *turned[0], crosswise=True), _scores(*fixed, *turned[1], crosswise=False)]
        scores, allowed = (torch.cat(parts, 1) for parts in zip(*everywhere, strict=True))
        logits = (scores * module.log_sharpness.exp()).masked_fill(~allowed, -1e4)
        return *_classified(logits, loose), module.log_sharpness.exp()

    @torch.no_grad()
    def errors(self, model: nn.Module, batch: TrainingPairs) -> tuple[Tensor, ...]:
        """For each pair how far the best shift is from the true one, the turn being known."""
        count = len(batch)
        poses = _true_poses(batch)
        planes, cover = model(*_both(batch))
        warped = _warped(planes[count:], cover[count:], poses, _fieldnet(model).config.orders)
        found = []
        for i in range(count):
            own = slice(i, i + 1)
            scores, allowed = _scores(planes[own], cover[own], warped[0][own], warped[1][own], crosswise=False)
            best = scores.masked_fill(~allowed, -1e4).flatten().argmax()
            side = scores.shape[-1]
            at = torch.stack([best % side, best // side]).float()
            off = (at - poses.shifts[i] + side / 2) % side - side / 2
            found.append(STRIDE * off.norm()[None] if poses.seen[i] > MIN_SEEN else off.new_zeros(0))
        return tuple(found)


@dataclass(frozen=True, eq=False)
class Poses:
    """Where the warped moving images belong."""

    matrices: Tensor
    """(B, 2, 3) cells of moving, from its centre -> cells of the canvas, from its centre: no shift."""
    shifts: Tensor
    """(B, 2) cells (x, y) from the canvas's corner to fixed's: where the correlation should peak."""
    seen: Tensor
    """(B,) share of fixed that moving shows."""


def _fieldnet(model: nn.Module) -> FieldNet:
    """The network itself, also where several processes have wrapped it."""
    inner = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
    assert isinstance(inner, FieldNet)
    return inner


def _both(batch: TrainingPairs) -> tuple[Tensor, Tensor]:
    """Fixed and moving as one batch: images and masks.

    Raises:
        UsageError: sides that the network cannot take.
    """
    if batch.fixed.shape[-1] % MULTIPLE:
        raise UsageError(f"fields are not trained at {batch.fixed.shape[-1]} px", hint="96 and 192 px will do")
    return torch.cat([batch.fixed, batch.moving]), torch.cat([batch.fixed_valid, batch.moving_valid])


def _true_poses(batch: TrainingPairs) -> Poses:
    """The similarities nearest to the true warps, by least squares over what both show."""
    side = batch.fixed.shape[-1] / STRIDE
    weight = batch.covisible.float()
    places = torch.where(batch.covisible[..., None], batch.warp, 0.0)
    moving = torch.view_as_complex(places.double().contiguous())
    line = (2 * torch.arange(batch.fixed.shape[-1], device=weight.device, dtype=torch.float64) + 1) / batch.fixed.shape[
        -1
    ] - 1
    fixed = torch.complex(line[None, :].expand(len(line), -1), line[:, None].expand(-1, len(line)))[None]
    total = weight.sum((1, 2)).clamp(min=1)
    middle_moving, middle_fixed = ((z * weight).sum((1, 2)) / total for z in (moving, fixed))
    a, b = (moving - middle_moving[:, None, None]) * weight, (fixed - middle_fixed[:, None, None]) * weight
    # moving -> fixed: z -> factor z + rest.
    factor = (b * a.conj()).sum((1, 2)) / (a.abs().square().sum((1, 2)) + 1e-9)
    factor = torch.where(factor.abs() > 0.1, factor, torch.ones_like(factor))
    rest = middle_fixed - factor * middle_moving
    return _poses(factor, rest, weight.mean((1, 2)), side)


def _poses(factor: Tensor, rest: Tensor, seen: Tensor, side: float) -> Poses:
    matrices = torch.stack(
        [torch.stack([factor.real, -factor.imag], 1), torch.stack([factor.imag, factor.real], 1)], 1
    ).float()
    # `rest` is where moving's centre lies on fixed, from fixed's centre, in halves of a side.
    canvas = _canvas(side)
    shifts = torch.stack([rest.real, rest.imag], 1).float() * side / 2 + (side - canvas) / 2
    return Poses(matrices, shifts, seen)


def _canvas(side: float) -> int:
    return 2 * round(CANVAS * side / 2)


def _loosened(poses: Poses, *, turn_deg: float, scale: float) -> Poses:
    """Turned and scaled a little about the centre of moving, which stays where it is."""
    count, device = len(poses.matrices), poses.matrices.device
    # On the host's generator, which every step seeds: runs repeat on any device.
    turn = torch.deg2rad((2 * torch.rand(count) - 1) * turn_deg).to(device)
    by = torch.exp((2 * torch.rand(count) - 1).to(device) * torch.log(torch.tensor(scale, device=device)))
    return dataclasses.replace(poses, matrices=_turn(turn, by) @ poses.matrices)


def _turned_away(poses: Poses) -> Poses:
    """The same images at turns that are wrong."""
    count, device = len(poses.matrices), poses.matrices.device
    turn = torch.deg2rad(20 + 320 * torch.rand(count)).to(device)
    return dataclasses.replace(poses, matrices=_turn(turn, torch.ones_like(turn)) @ poses.matrices)


def _turn(angle: Tensor, scale: Tensor) -> Tensor:
    c, s = angle.cos() * scale, angle.sin() * scale
    return torch.stack([torch.stack([c, -s], 1), torch.stack([s, c], 1)], 1)


def _warped(planes: Tensor, cover: Tensor, poses: Poses, orders: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Fields of moving turned and scaled onto a canvas, their directions with them."""
    matrices = poses.matrices
    side = planes.shape[-1]
    canvas = _canvas(side)
    line = torch.arange(canvas, device=planes.device, dtype=torch.float32) + 0.5 - canvas / 2
    at = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).view(-1, 2)
    grid = torch.einsum("bij,nj->bni", torch.linalg.inv(matrices), at).view(-1, canvas, canvas, 2) * (2 / side)
    both = F.grid_sample(torch.cat([planes, cover], 1), grid, align_corners=False)
    warped, shown = both[:, :-1], (both[:, -1:] > 0.99).float()
    angle = torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0])
    turned = []
    for i, order in enumerate(orders):
        x, y = warped[:, 2 * i], warped[:, 2 * i + 1]
        c, s = (f(order * angle)[:, None, None] for f in (torch.cos, torch.sin))
        turned += [x * c - y * s, x * s + y * c] if order else [x, y]
    return torch.stack(turned, 1) * shown, shown


def _scores(
    fixed: Tensor, fixed_cover: Tensor, warped: Tensor, warped_cover: Tensor, *, crosswise: bool
) -> tuple[Tensor, Tensor]:
    """(B, N, P, P) score of every cyclic shift of warped images on fixed ones, and whether enough overlaps.

    Args:
        crosswise: every warped image on every fixed one, N = B; else each on its own, N = 1.
    """
    side, canvas = fixed.shape[-1], warped.shape[-1]
    period = 16 * -(-(side + int((1 - MIN_OVERLAP) * canvas)) // 16)
    shape = (period, period)
    a, b = torch.fft.rfft2(fixed, shape), torch.fft.rfft2(warped, shape).conj()
    # Plane by plane: products of complex matrices, one for each frequency, are many times slower on a CPU.
    pairs = zip(a.unbind(1), b.unbind(1), strict=True)
    product = sum(x[:, None] * (y[None] if crosswise else y[:, None]) for x, y in pairs)
    with torch.no_grad():
        c, d = torch.fft.rfft2(fixed_cover, shape), torch.fft.rfft2(warped_cover, shape).conj()
        overlap = torch.fft.irfft2(c * (d.transpose(0, 1) if crosswise else d), shape)
        sizes = fixed_cover.sum((2, 3)), warped_cover.sum((2, 3))
        least = torch.minimum(sizes[0], sizes[1].T if crosswise else sizes[1])
        allowed = overlap > (MIN_OVERLAP * least).clamp(min=1)[..., None, None]
    return torch.fft.irfft2(product, shape) / overlap.clamp(min=1).sqrt(), allowed


def _classified(logits: Tensor, poses: Poses) -> tuple[Tensor, Tensor, Tensor]:
    """For each pair the negative log probability of the true shift, give or take a cell, among all shifts; whether it
    wins; and whether enough is seen to ask."""
    count, _, period, _ = logits.shape
    at = poses.shifts.round().long()
    around = torch.arange(-1, 2, device=logits.device)
    rows = (at[:, 1, None, None] + around[None, :, None]) % period
    columns = (at[:, 0, None, None] + around[None, None, :]) % period
    own = logits[torch.arange(count, device=logits.device), torch.arange(count, device=logits.device)]
    near = own.flatten(1).gather(1, (rows * period + columns).flatten(1))
    everything = logits.flatten(1)
    usable = (poses.seen > MIN_SEEN) & (near.amax(1) > -1e3)
    loss = everything.logsumexp(1) - near.logsumexp(1)
    return loss, (near.amax(1) >= everything.amax(1)).float(), usable
