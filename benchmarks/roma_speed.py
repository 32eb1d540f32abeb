"""How fast RoMa is here and in its authors' package, with equal random weights, images and sizes, and what it takes.

    python benchmarks/roma_speed.py --threads 2
    python benchmarks/roma_speed.py --device cuda --batch 1 4 8 -o roma-speed.json
    python benchmarks/roma_speed.py --coarse 112 --fine 168 --repeat 1     # a rehearsal, under a minute

One call is both passes in both directions of a batch of pairs, from tensors to warp and certainty on the device;
neither reading, resizing nor drawing of matches is counted. Each side has a process of its own, so that its memory is
its own. On a CPU seconds are those of all its cores together, which others at work there disturb less than the clock.
On a GPU both compute in half of single precision where they may: ours in bfloat16, the reference in float16, as its
authors have it. The reference is left out where `romatch` is not installed (pip install --no-deps romatch einops
loguru); `--reference DIR` looks for it in a folder (pip install --target DIR ...). Its `local_corr` is used if there.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

Call = Callable[[], tuple[Tensor, Tensor]]
"""-> (B, H, W, 2) warp and (B, H, W) certainty, fixed to moving."""


def main() -> None:
    options = arguments()
    if options.side:
        print(json.dumps(measured(options)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for side in ("ours", "reference"):
            words = [sys.executable, __file__, *sys.argv[1:], "--side", side, "--answers", folder]
            done = subprocess.run(words, stdout=subprocess.PIPE, text=True)
            lines = done.stdout.splitlines()
            found = json.loads(lines[-1]) if done.returncode == 0 and lines else {"left_out": "it failed, see above"}
            if "left_out" in found:
                print(f"{side}: left out: {found['left_out']}")
            rows += found.get("rows", [])
        agreement = difference(Path(folder))
    document = {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if options.device == "cuda" else platform.processor() or "cpu",
        "threads": options.threads,
        "sizes": [options.coarse, options.fine],
        "rows": rows,
        "agreement": agreement,
    }
    for row in rows:
        times = f"{row['seconds']:.3f} s  ({row['wall']:.3f} s by the clock)"
        rate = f"{row['pairs_per_second']:.3f} pairs/s  {row['peak_mib']:.0f} MiB"
        print(f"{row['side']:<10} batch {row['batch']}  {times}  {rate}")
    for row in rows:
        other = next((r for r in rows if r["side"] == "reference" and r["batch"] == row["batch"]), None)
        if row["side"] != "reference" and other:
            print(f"{row['side']} batch {row['batch']}: {other['seconds'] / row['seconds']:.2f} times as fast")
    if agreement:
        print("greatest difference: " + ", ".join(f"{name} {value:.1e}" for name, value in agreement.items()))
    if options.output:
        options.output.write_text(json.dumps(document, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--coarse", type=int, default=560, help="px of the first pass, a multiple of 56")
    parser.add_argument("--fine", type=int, default=864, help="px of the second pass, a multiple of 8")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--reference", type=Path, help="folder that holds romatch")
    parser.add_argument("--profile", action="store_true", help="show where the time of ours goes")
    parser.add_argument("--fp32", action="store_true", help="single precision on a GPU too: for the agreement")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--side", choices=("ours", "reference"), help=argparse.SUPPRESS)
    parser.add_argument("--answers", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


@torch.inference_mode()
def measured(options: argparse.Namespace) -> dict[str, Any]:
    """What one process found."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    if options.reference:
        sys.path.insert(0, str(options.reference))
    try:
        caller = (ours if options.side == "ours" else reference)(options)
    except ImportError as error:
        return {"left_out": str(error)}
    rows = []
    for batch in options.batch:
        images = pictures(options, batch)
        for name, call in caller(images).items():
            row, (warp, certainty) = timed(call, options, batch)
            rows.append({"side": name, "batch": batch, **row})
            if batch == options.batch[0] and name in ("ours", "reference"):
                arrays = {"warp": warp.float().cpu().numpy(), "certainty": certainty.float().cpu().numpy()}
                np.savez(options.answers / f"{name}.npz", **arrays)
    return {"rows": rows}


def timed(call: Call, options: argparse.Namespace, batch: int) -> tuple[dict[str, float], tuple[Tensor, Tensor]]:
    """Median time and peak of memory, and an answer."""
    is_cuda = options.device == "cuda"
    for _ in range(2 if is_cuda else 0):
        call()
    if is_cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    clock, of_cpu = [], []
    for _ in range(options.repeat):
        begun, worked = time.perf_counter(), time.process_time()
        answer = call()
        if is_cuda:
            torch.cuda.synchronize()
        clock.append(time.perf_counter() - begun)
        of_cpu.append(time.process_time() - worked)
    seconds, wall = statistics.median(clock if is_cuda else of_cpu), statistics.median(clock)
    peak = (
        torch.cuda.max_memory_allocated() / 2**20
        if is_cuda
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    )
    return {"seconds": seconds, "wall": wall, "pairs_per_second": batch / wall, "peak_mib": peak}, answer


def pictures(options: argparse.Namespace, batch: int) -> list[Tensor]:
    """Fixed and moving in [0, 1] for the first pass, and for the second."""
    rng = torch.Generator().manual_seed(batch)
    scene = torch.rand((2 * batch, 3, 40, 40), generator=rng)
    sizes = (options.coarse, options.fine)
    small, large = (
        torch.nn.functional.interpolate(scene, (side, side), mode="bicubic").clamp(0, 1).to(options.device)
        for side in sizes
    )
    return [small[:batch], small[batch:], large[:batch], large[batch:]]


def ours(options: argparse.Namespace) -> Callable[[list[Tensor]], dict[str, Call]]:
    from xmatch.networks.roma.inference import matched, seen
    from xmatch.networks.roma.runner import RomaRunner

    network, backbone = weighted(options.device)
    network.see_with(backbone)
    runner = RomaRunner(network, options.device)
    if options.fp32:
        runner.network.see_in(torch.float32)
    del network

    def caller(images: list[Tensor]) -> dict[str, Call]:
        fixed, moving, fixed_fine, moving_fine = (
            image.contiguous(memory_format=torch.channels_last) for image in images
        )

        def call() -> tuple[Tensor, Tensor]:
            with torch.autocast(options.device, torch.bfloat16, enabled=options.device == "cuda" and not options.fp32):
                pair = seen(runner.network, fixed, fixed_fine), seen(runner.network, moving, moving_fine)
                found, _ = matched(runner.network, *pair)
            return found.warp, found.certainty.sigmoid()

        if options.profile:
            with torch.profiler.profile() as profile:
                call()
            by = "self_cuda_time_total" if options.device == "cuda" else "self_cpu_time_total"
            print(profile.key_averages().table(sort_by=by, row_limit=18), file=sys.stderr)
        return {"ours": call}

    return caller


def reference(options: argparse.Namespace) -> Callable[[list[Tensor]], dict[str, Call]]:
    from romatch.models.model_zoo.roma_models import roma_model

    try:
        import local_corr  # noqa: F401

        fused = options.device == "cuda"
    except ImportError:
        fused = False
    network, backbone = weighted(options.device)
    with torch.device(options.device):
        model = roma_model(
            options.coarse,
            True,
            device=options.device,
            weights=network.state_dict(),
            dinov2_weights=backbone.state_dict(),
            amp_dtype=torch.float16 if options.device == "cuda" and not options.fp32 else torch.float32,
            use_custom_corr=fused,
            symmetric=True,
            upsample_res=options.fine,
        ).eval()
    if options.fp32:
        for part in model.modules():
            if hasattr(part, "amp"):
                part.amp, part.amp_dtype = False, torch.float32
    del network, backbone

    def caller(images: list[Tensor]) -> dict[str, Call]:
        mean, deviation = (
            torch.tensor(values, device=options.device).view(3, 1, 1)
            for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        )
        fixed, moving, fixed_fine, moving_fine = ((image - mean) / deviation for image in images)

        def call() -> tuple[Tensor, Tensor]:
            warp, sure = model.match(fixed, moving, im_A_high_res=fixed_fine, im_B_high_res=moving_fine)
            half = warp.shape[2] // 2
            return warp[:, :, :half, 2:], sure[:, :, :half]

        return {"reference": call}

    return caller


def weighted(device: str) -> tuple[Any, Any]:
    """RoMa and DINOv2 in their published sizes with the same random weights every time: such that places differ."""
    from xmatch.networks.dinov2.config import DinoConfig
    from xmatch.networks.dinov2.network import Dino
    from xmatch.networks.roma.config import RomaConfig
    from xmatch.networks.roma.network import Roma

    torch.manual_seed(0)
    with torch.device(device):
        network, backbone = Roma(RomaConfig()).eval(), Dino(DinoConfig()).eval()
    with torch.no_grad():
        network.decoder.embedding_decoder.to_out.weight.mul_(8)
        for refiner in network.decoder.conv_refiner.values():
            refiner.out_conv.weight.mul_(4)
    return network, backbone


def difference(folder: Path) -> dict[str, float]:
    """Between both answers, where there are two."""
    files = [folder / f"{side}.npz" for side in ("ours", "reference")]
    if not all(file.exists() for file in files):
        return {}
    a, b = map(np.load, files)
    return {name: float(np.abs(a[name] - b[name]).max()) for name in a.files}


if __name__ == "__main__":
    main()
