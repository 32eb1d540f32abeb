"""Rebuild the tables of the few-shot paper on SRIF: sets x shots x draws x switches, adapted on train, measured on val.

    python benchmarks/adapt_tables.py DATA --weights model.safetensors -o adapt-tables
    python benchmarks/adapt_tables.py DATA --weights model.safetensors -o adapt-tables --only Optical-Map --shots 2

DATA holds srif-published/<set>/{train,val}/pairs.jsonl and srif-crop alike. Every job is one `xmatch adapt` and one
measurement, saved as one JSON; what is saved is not done again: the same command goes on. tables.json has
the mean and the range over the draws, and a certificate. Corner error of moving as in `xmatch eval`; the truth is good
to 1 to 2 px.

Two errors are measured: of the network's own answer, which is what the paper measures, and of the registration that
follows, in which candidates without a network have a say too. A network that draws fields (--weights xmatch-fields) has
no answer of its own, and of the switches sft and verdicts alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from adapt_measure import MEASURED, born, measured

from xmatch.adaptation.poses import POSES
from xmatch.coords import to_centre_matrix
from xmatch.errors import ExitCode, XmatchError
from xmatch.geometry import homography
from xmatch.metrics import auc

SETS = ("Optical-Infrared", "Optical-Map", "Optical-Depth", "Optical-SAR", "Optical-Optical", "Nighttime")
FORMS = ("published", "crop")
SHOTS = (2, 10, 0)
DRAWS = (0, 1, 2)
THRESHOLDS_PX = (3, 5, 10)
SCHEMA = "xmatch.adapt-tables/1"
PAPER = {"trust_verdicts": False}
SWITCHES: dict[str, dict[str, Any]] = {
    "pl-f": PAPER,
    "sft": {**PAPER, "pseudo": "none"},
    "pl": {**PAPER, "pseudo": "pl"},
    "pl-t": {**PAPER, "pseudo": "pl-t"},
    "pl-ema": {**PAPER, "pseudo": "pl-ema"},
    "pl-ema-f": {**PAPER, "pseudo": "pl-ema-f"},
    "fixed": {**PAPER, "threshold": {"kind": "fixed"}},
    "freematch": {**PAPER, "threshold": {"kind": "freematch"}},
    "verdicts": {"trust_verdicts": True},
}
"""Name -> keys of the recipe that are changed; "pl-f" is the paper's method; "verdicts" is ours."""
STUDIED = ("pl-f", "sft")
"""Switches of the study of difficulty."""
NOISE = (0.0, 0.08, 0.12, 0.18, 0.26, 0.38)
"""Standard deviations of Gaussian noise by severity, of values in [0, 1] (Hendrycks and Dietterich 2019)."""
TURN_DEG, SHIFT, PERSPECTIVE = 12.0, 0.04, 0.03
"""Geometric severity s: moving is turned, shifted and tilted by up to s times this; the paper gives no numbers."""


@dataclass(frozen=True)
class Job:
    form: str
    set: str
    shots: int
    draw: int
    switch: str
    noise: int = 0
    geometry: int = 0

    @property
    def data(self) -> str:
        """Which pairs."""
        hard = f"-noise{self.noise}-geometry{self.geometry}" if self.noise or self.geometry else ""
        return f"{self.form}-{self.set}{hard}"

    @property
    def name(self) -> str:
        return f"{self.data}-{self.shots}shot-draw{self.draw}-{self.switch}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", required=True, help="path, or name of a model")
    parser.add_argument("-o", "--output", type=Path, default=Path("adapt-tables"))
    parser.add_argument("--recipe", type=Path, help="YAML that the switches change; default: xmatch adapt's own")
    parser.add_argument("--only", nargs="+", choices=SETS, default=SETS, metavar="SET")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS)
    parser.add_argument("--shots", nargs="+", type=int, default=SHOTS)
    parser.add_argument("--draws", nargs="+", type=int, default=DRAWS)
    parser.add_argument("--switches", nargs="+", choices=SWITCHES, default=tuple(SWITCHES))
    parser.add_argument("--difficulty", action="store_true", help="the study of noise and geometry on Optical-Map too")
    parser.add_argument("--limit", type=int, help="first so many pairs of val only")
    parser.add_argument("--own", action="store_true", help="measure the network's own answer alone")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    every = list(jobs(args))
    for number, job in enumerate(every, 1):
        saved = args.output / f"{job.name}.json"
        if not saved.exists():
            print(f"{number}/{len(every)} {job.name}", file=sys.stderr, flush=True)
            result = run(job, args)
            saved.write_text(json.dumps(result, indent=1) + "\n")
    untouched(args)
    tables = summary(args.output)
    folders = [args.data / f"srif-{form}" / name for form in args.forms for name in args.only]
    proof = born(folders, args.weights, seeds=args.draws, threads=args.threads)
    document = {"schema": SCHEMA, "certificate": proof, "rows": tables}
    (args.output / "tables.json").write_text(json.dumps(document, indent=1) + "\n")
    for row in tables:
        aucs = ((m, row[f"{m}_auc"]) for m in MEASURED if f"{m}_auc" in row)
        told = (f"{m} @{t} {auc_[str(t)]['mean']:5.1f}" for m, auc_ in aucs for t in THRESHOLDS_PX)
        print(f"{row['name']:50} " + "  ".join(told))


def jobs(args: argparse.Namespace) -> Iterator[Job]:
    for form in args.forms:
        for name in args.only:
            for shots in args.shots:
                for switch in args.switches:
                    if shots or switch != "sft":
                        yield from (Job(form, name, shots, draw, switch) for draw in args.draws)
    if args.difficulty:
        for level in range(1, 6):
            for switch in STUDIED:
                for draw in args.draws:
                    yield Job("published", "Optical-Map", 2, draw, switch, noise=level)
                    yield Job("published", "Optical-Map", 2, draw, switch, geometry=level)


def run(job: Job, args: argparse.Namespace) -> dict[str, Any]:
    """Adapt, unless that has been done, then measure what came of it, refused or not."""
    root = args.data / f"srif-{job.form}" / job.set
    with tempfile.TemporaryDirectory() as scratch:
        train, val = (root / part for part in ("train", "val"))
        if job.noise or job.geometry:
            train, val = (harder(folder, Path(scratch) / folder.name, job) for folder in (train, val))
        weights = args.output / "weights" / f"{job.name}.safetensors"
        report = weights.with_suffix(".report.json")
        told = json.loads(report.read_text()) if report.exists() else {}
        if told.get("output") is None:  # nothing yet, or stopped before it was judged: it goes on
            told = adapted(job, train, weights, args)
        return {"job": dataclasses.asdict(job), "adapted": told, **measured(told["output"], val, **how(args))}


def adapted(job: Job, train: Path, weights: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Run `xmatch adapt`; what it says."""
    # Pairs lie as they lie, whatever is learned from them: they are registered once.
    kept, here = args.output / "poses" / f"{job.data}.json", weights.with_suffix(".run") / POSES
    for folder in (kept.parent, here.parent):
        folder.mkdir(parents=True, exist_ok=True)
    if kept.exists():
        shutil.copy(kept, here)
    recipe = here.with_name("asked.json")
    recipe.write_text(json.dumps(changed(args, SWITCHES[job.switch])))
    command = [sys.executable, "-m", "xmatch.cli", "adapt", train, "--labelled", job.shots, "-o", weights, "--json"]
    command += ["--weights", args.weights, "--recipe", recipe, "--seed", job.draw, "--device", args.device]
    command += ["--threads", args.threads, "--overwrite", "--quiet"]
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    told = json.loads(done.stdout)
    if done.returncode not in (ExitCode.OK, ExitCode.UNTRUSTED):
        raise SystemExit(f"{job.name}: {told['error']['message']}")
    if here.exists():
        shutil.copy(here, kept)
    return told


def changed(args: argparse.Namespace, changes: dict[str, Any]) -> dict[str, Any]:
    """A recipe with some keys changed, defaults written out."""
    from xmatch.adaptation.base import open_base
    from xmatch.adaptation.recipe import AdaptRecipe
    from xmatch.recipe import load_recipe

    recipe = load_recipe(args.recipe, AdaptRecipe) if args.recipe else open_base("", args.weights).recipe
    values = recipe.as_dict()
    values["ema_decay"] = None if changes.get("pseudo", values["pseudo"]) != values["pseudo"] else values["ema_decay"]
    for name, value in changes.items():
        values[name] = {**values[name], **value} if isinstance(value, dict) else value
    return values


def how(args: argparse.Namespace) -> dict[str, Any]:
    return {"device": args.device, "threads": args.threads, "limit": args.limit, "registered": not args.own}


def untouched(args: argparse.Namespace) -> None:
    """The weights as they are, on every set: what all the others are compared with."""
    for form in args.forms:
        for name in args.only:
            saved = args.output / f"{form}-{name}-untouched.json"
            if not saved.exists():
                errors = measured(args.weights, args.data / f"srif-{form}" / name / "val", **how(args))
                job = {"form": form, "set": name, "shots": None, "draw": 0, "switch": "untouched"}
                saved.write_text(json.dumps({"job": job, **errors}, indent=1) + "\n")


def harder(folder: Path, into: Path, job: Job) -> Path:
    """A copy of a folder of pairs with noise in both images, or moving further turned and tilted."""
    into.mkdir(parents=True)
    rows = []
    for number, line in enumerate((folder / "pairs.jsonl").read_text().splitlines()):
        row = json.loads(line)
        rng = np.random.default_rng((number, job.noise, job.geometry))
        images = [cv2.imread(str(folder / row[side])) for side in ("fixed", "moving")]
        matrix = np.array(row["moving_to_fixed"])
        if row["pixel_origin"] == "corner":
            matrix = to_centre_matrix(matrix)
        if job.geometry:
            size = images[1].shape[1::-1]
            change = tilted(size, job.geometry, rng)
            images[1] = cv2.warpPerspective(images[1], change, size)
            matrix = matrix @ np.linalg.inv(change)
        for side, image in zip(("fixed", "moving"), images, strict=True):
            noisy = image / 255 + rng.normal(0, NOISE[job.noise], image.shape) if job.noise else image / 255
            name = f"{number:03d}_{side}.png"
            cv2.imwrite(str(into / name), (noisy.clip(0, 1) * 255).round().astype(np.uint8))
            row[side] = name
        rows.append(json.dumps({**row, "moving_to_fixed": matrix.tolist(), "pixel_origin": "center"}))
    (into / "pairs.jsonl").write_text("\n".join(rows) + "\n")
    return into


def tilted(size: tuple[int, int], severity: int, rng: np.random.Generator) -> np.ndarray:
    """(3, 3) a random turn, shift and tilt about the middle, of centre-counted px."""
    width, height = size
    turn, *shift = rng.uniform(-1, 1, 3) * severity
    around = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), TURN_DEG * turn, 1.0)
    around[:, 2] += np.array(shift) * SHIFT * np.array(size)
    matrix = np.vstack([around, (0, 0, 1)])
    tilt = np.eye(3)
    tilt[2, :2] = rng.uniform(-1, 1, 2) * severity * PERSPECTIVE / np.array(size)
    return homography(tilt @ matrix).matrix


def summary(folder: Path) -> list[dict[str, Any]]:
    """Mean and range of AUC over the draws of each setting."""
    groups: dict[str, list[dict]] = {}
    for path in sorted(folder.glob("*.json")):
        if path.name != "tables.json":
            result = json.loads(path.read_text())
            key = {name: value for name, value in result["job"].items() if name != "draw"}
            groups.setdefault(json.dumps(key), []).append(result)
    rows = []
    for key, results in groups.items():
        job = json.loads(key)
        name = " ".join(str(value) for value in job.values() if value not in (0, None))
        rows.append({"name": name, **job, "draws": len(results)})
        errors = {measure: [r[measure] for r in results if measure in r] for measure in MEASURED}
        for measure, draws in errors.items():
            if any(error is not None for draw in draws for error in draw):
                rows[-1][f"{measure}_auc"] = spread(draws)
        rows[-1]["errors_px"] = {measure: [rounded(draw) for draw in draws] for measure, draws in errors.items()}
        told = [r["adapted"] for r in results if "adapted" in r]
        rows[-1]["refused"] = sum(not each["better"] for each in told)
        rows[-1]["minutes"] = [each["minutes"] for each in told]
    return rows


def rounded(errors: Sequence[float | None]) -> list[float | None]:
    return [None if error is None else round(error, 2) for error in errors]


def spread(draws: Sequence[list[float | None]]) -> dict[str, dict[str, float]]:
    """Threshold -> mean, least and most over the draws, percent."""
    values = np.array([auc([np.inf if e is None else e for e in errors], THRESHOLDS_PX) for errors in draws])
    return {
        str(t): {"mean": float(v.mean()), "least": float(v.min()), "most": float(v.max())}
        for t, v in zip(THRESHOLDS_PX, values.T, strict=True)
    }


if __name__ == "__main__":
    try:
        main()
    except XmatchError as error:
        raise SystemExit(f"adapt_tables: {error}") from None
