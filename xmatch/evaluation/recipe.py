"""What a recipe of `xmatch eval` can say."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from xmatch.evaluation.changes import FACTORS
from xmatch.metrics import QUIRKS
from xmatch.registration.options import RegisterOptions

Fill = Literal["none", "mask", "noise", "other", "crop"]
"""What becomes of the black border of the moving images: it stays as it is; it stays and is declared nodata; it gives
way to noise, declared nodata; to another image, declared nodata; or it is cut away, with the content around it that no
upright rectangle can hold."""

SCORING_QUIRKS = tuple(name for name in QUIRKS if name != "minima-path-seed")
"""Those of how pairs are judged; the other one is of how pairs are made."""

FORMS: dict[str, Fill] = {"published": "none", "crop": "crop", "fill": "noise"}
"""The names that the command line has for the usual ones."""


@dataclass(frozen=True)
class SetSpec:
    manifest: str
    """A pairs.jsonl, or a glob of several; relative paths start at the recipe's folder."""
    name: str | None = None
    """How tables call it; default: what tells its path apart from the others'."""
    repeats: bool = False
    """Its rows show some places more than once, like frames of one camera: strangers come from other sets only."""
    pixel_origin: Literal["corner", "center"] | None = None
    """How rows count that do not say it themselves."""


@dataclass(frozen=True)
class DatasetSpec:
    """A published data set, as it was unpacked. Its groups (modalities, scenes, categories) are the sets of tables."""

    name: str
    """A name in `xmatch.datasets.DATASETS`."""
    folder: str
    """Where it lies; a relative path starts at the recipe's folder."""
    repeats: bool = True
    """As in `SetSpec`: images of one group may show the same place."""
    without: tuple[str, ...] = ()
    """Pairs left out: patterns of their names as the data set has them, such as "optical-sar/s2s1_*"."""


@dataclass(frozen=True)
class MatcherSpec:
    """A matcher or peer with settings of its own."""

    matcher: str
    """A name in `xmatch.matchers.registry.MATCHERS` or `xmatch.evaluation.peers.registry.PEERS`; `peer:sift` is
    always the peer, `feature:matcha` a feature of `xmatch match --task`."""
    name: str | None = None
    """How tables call it; default: as `matcher` says."""
    weights: str | None = None
    transform: str | None = None
    """Kind of map, instead of the one in `register`; peers know similarity and homography."""
    command: str | None = None
    """Of the peer `program`: a template with {fixed}, {moving} and {output}. No shell reads it."""
    output_suffix: str = ".json"
    """Of the file that {output} stands for."""
    pixel_origin: Literal["corner", "center"] = "corner"
    """How the program counts."""
    direction: Literal["moving_to_fixed", "fixed_to_moving"] = "moving_to_fixed"
    """What the program's matrix maps."""
    python: str | None = None
    """Of the peers `arosics` and `vismatch`: the Python of the environment that has it."""
    model: str | None = None
    """Of the peer `vismatch`: the name of one of its matchers; of `network`: which training its weights are of."""
    companion_weights: str | None = None
    """Of the network that the one of `weights` works on: LightGlue's keypoints, RoMa's features."""
    diffusion: str | None = None
    """Of features, `feature:NAME`: Stable Diffusion 2.1, a folder or a name on the hub; nothing is downloaded."""
    dino: str | None = None
    """Of features: DINOv2."""
    feature_cache: str | None = None
    """Of features: folder that keeps what these networks see of each image."""


@dataclass(frozen=True)
class SweepSpec:
    """One factor of a robustness sweep."""

    factor: str
    """A name in `xmatch.evaluation.changes.FACTORS`."""
    values: tuple[float, ...] = ()
    """Default: the factor's own."""

    def __post_init__(self) -> None:
        if self.factor not in FACTORS:
            raise ValueError(f"factor {self.factor!r} is not known; there are {', '.join(FACTORS)}")
        _refuse_outside(self.factor, self.values)


@dataclass(frozen=True)
class WarpSpec:
    """What moving images are put through first, drawn by `seed` and the pair's name; the truth goes along exactly."""

    pose: float = 0.0
    """Turned by chance by up to 180 degrees, half to twice as large and shifted at 1; by that share of it below."""
    corners: float = 0.0
    """A perspective: each corner is moved by up to that share of the shorter side."""
    bend_px: float = 0.0
    """A smooth random field, at most so many px long and without an affine part."""
    keep: float = 1.0
    """Cut first to a window, anywhere in the image, of that share of its width and height."""
    gain: float = 0.0
    """Contrast changed by a factor of up to 1 more than this, either way, and brightness by up to half of it times the
    range of values; by chance."""
    blur: float = 0.0
    """Sigma in px of the warped image."""
    noise: float = 0.0
    """Deviation as a share of the range of values."""

    def __post_init__(self) -> None:
        for name in ("pose", "corners", "bend_px", "blur", "noise"):
            _refuse_outside(name, (getattr(self, name),))
        if not LEAST_KEPT <= self.keep <= 1:
            raise ValueError(f"keep lies between {LEAST_KEPT:g} and 1")
        if not 0 <= self.gain <= MOST_GAIN:
            raise ValueError(f"gain lies between 0 and {MOST_GAIN:g}")


MOST_GAIN = 10.0
LEAST_KEPT = 0.2


def _refuse_outside(factor: str, values: tuple[float, ...]) -> None:
    low, high = FACTORS[factor].low, FACTORS[factor].high
    if not all(low <= value <= high for value in values):
        raise ValueError(f"values of {factor} lie between {low:g} and {high:g}")


@dataclass(frozen=True)
class Change:
    """What is done to one pair first."""

    seed: tuple[int, ...]
    """The same for all values of a factor, so that these are compared on the same pairs in the same poses."""
    warp: WarpSpec | None = None
    """Of moving alone; None: the pair is brought onto itself and changed by the factor."""
    factor: str | None = None
    """Of a sweep, as the next."""
    value: float = 0.0


@dataclass(frozen=True)
class EvalRecipe:
    """What `xmatch eval` measures, and on what."""

    manifest: tuple[str | SetSpec, ...] = ()
    dataset: DatasetSpec | tuple[DatasetSpec, ...] = ()
    matchers: tuple[str | MatcherSpec, ...] = ()
    """What is compared, in this order; empty: the matcher of `register` alone."""
    controls: bool = True
    """Let identity, centre, border-fit and truth join the tables, and landmark-affine those of landmarks."""
    register: RegisterOptions = RegisterOptions()
    peer_timeout_s: float = 300.0
    """After so long a peer's pair has failed."""
    fill: Fill = "none"
    warp: WarpSpec = WarpSpec()
    itself: bool = False
    """Each fixed image is also its own moving image, to be warped: pairs of one sensor, whatever the others are."""
    unrelated: bool = False
    """Also try as many pairs of unrelated images, which a verdict must reject."""
    sweep: tuple[str | SweepSpec, ...] = ()
    """Factors that the pairs are changed by, one at a time, instead of being taken as they are."""
    sweep_seeds: int = 1
    """Changed copies of each pair."""
    limit: int | None = None
    """First so many pairs of each set only."""
    keep_matches: bool = False
    """Save the correspondences of every pair, for matching accuracy; poses and homographies save them anyway."""
    dense: bool = False
    """Also ask matchers alone, and judge dense ones by every cell: end-point error, calibration of certainty."""
    thresholds_px: tuple[float, ...] = (3.0, 5.0, 10.0, 20.0)
    """Of AUC@px and success@px; poses are judged at 5, 10 and 20 degrees."""
    right_px: float = 5.0
    """An error below this is right (poses: degrees)."""
    wrong_px: float = 10.0
    """An error above this is wrong, as is every alignment of unrelated images."""
    pose_threshold_px: float = 0.5
    """Epipolar distance of an inlier when poses are estimated from correspondences, px of the files."""
    pose_estimator: Literal["opencv", "poselib"] = "opencv"
    quirks: tuple[str, ...] = ()
    """Oddities of published protocols, names in `xmatch.metrics.QUIRKS`, for numbers to print beside theirs."""
    seed: int = 0
    """Of border noise and bootstrap intervals; the registration's own is `register.seed`."""

    def __post_init__(self) -> None:
        if not self.manifest and not self.datasets:
            raise ValueError("manifest names no pairs, and dataset none either")
        if not self.thresholds_px or min(self.thresholds_px) <= 0:
            raise ValueError("thresholds_px must be numbers above 0")
        if not 0 < self.right_px <= self.wrong_px:
            raise ValueError("want 0 < right_px <= wrong_px")
        if self.limit is not None and self.limit < 1:
            raise ValueError("limit must be at least 1")
        names = [SweepSpec(entry).factor if isinstance(entry, str) else entry.factor for entry in self.sweep]
        if len(set(names)) < len(names) or self.sweep_seeds < 1:
            raise ValueError("sweep wants each factor once, and sweep_seeds at least 1")
        aligned = [name for name in names if FACTORS[name].change is not None]
        if aligned and (self.unrelated or self.fill != "none"):
            raise ValueError("sweep goes neither with unrelated pairs nor with fill: it makes its own pairs")
        if aligned and self.warps:
            raise ValueError(f"sweep of {', '.join(aligned)} goes not with warp: it lays the pairs on each other first")
        if (self.warps or self.sweep) and self.fill != "none":
            raise ValueError("warp goes not with fill: each makes its own border")
        if self.itself and not (self.warps or self.sweep):
            raise ValueError("itself wants a warp, or an image is laid onto itself")
        odd = sorted(set(self.quirks) - set(SCORING_QUIRKS))
        if odd:
            raise ValueError(f"quirks {', '.join(odd)} are not known here; there are {', '.join(SCORING_QUIRKS)}")
        if not self.peer_timeout_s > 0 or not self.pose_threshold_px > 0:
            raise ValueError("peer_timeout_s and pose_threshold_px must be above 0")

    @property
    def datasets(self) -> tuple[DatasetSpec, ...]:
        return self.dataset if isinstance(self.dataset, tuple) else (self.dataset,)

    @property
    def warps(self) -> bool:
        return self.warp != WarpSpec()

    @property
    def bends(self) -> bool:
        """Whether pairs are judged as such that bend, those of a sweep that do so by 0 px included."""
        return self.warp.bend_px > 0 or "bend_px" in (e if isinstance(e, str) else e.factor for e in self.sweep)

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


JUDGEMENT = ("thresholds_px", "right_px", "wrong_px", "pose_threshold_px", "pose_estimator", "quirks")
"""Keys that say how predictions are judged, not what they are."""

COMPANY = ("matchers", "controls")
"""Keys that say which other matchers run beside one."""
