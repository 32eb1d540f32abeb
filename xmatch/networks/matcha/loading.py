"""From names and folders to a feature: what is missing is said at once, and how large it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xmatch.errors import ModelError, ResourceError, UsageError
from xmatch.io.weights.hub import extra_package
from xmatch.networks.loading import architecture_of, load_network
from xmatch.networks.matcha.config import (
    DINO,
    DINO_GB,
    ENSEMBLE,
    SMALL_NAMES,
    SMALL_SIDES,
    STABLE_DIFFUSION,
    STABLE_DIFFUSION_GB,
    Task,
)
from xmatch.networks.matcha.features import VARIANTS, Feature, Foundation, PublishedFeature
from xmatch.networks.weights import fetched, find_weights, published, shipped


@dataclass(frozen=True)
class FeatureOptions:
    """Where the networks of a feature come from, and how they run."""

    diffusion: str = STABLE_DIFFUSION
    """A folder in the layout of diffusers, or a name on the hub."""
    dino: str = DINO
    """The same in the layout of transformers."""
    weights: str | None = None
    """Of the fusion: a file, or a name that `xmatch.networks.weights.find_weights` takes."""
    ensemble: int = ENSEMBLE
    seed: int = 0
    """Of the noises of the diffusion."""
    device: str = "cpu"
    half: bool = False
    cache: str | None = None
    """Folder that features are kept in."""
    may_download: bool = False
    """What is not on this machine may be fetched from the hub."""


def feature_names() -> list[str]:
    """What `load_feature` knows."""
    return [*VARIANTS, *SMALL_NAMES]


def feature_of(weights: str | None) -> str:
    """The feature that is meant where weights alone are named; `matcha-small`, which comes with the package, where not
    even these are.

    Raises:
        ModelError: there are no such weights, or of no feature.
    """
    if weights is None:
        return "matcha-small"
    from xmatch.io.weights.published_pickles import import_weights

    path = find_weights(weights)
    entry = architecture_of(import_weights(path))
    if entry is None or entry.feature is None:
        raise ModelError("holds weights of no feature for single points", hint="xmatch models info", path=path)
    return entry.feature


def usual_side(name: str, task: Task) -> int | None:
    """Side that a feature sees images at, px; None: that of the published evaluation."""
    return SMALL_SIDES[task] if name in SMALL_NAMES else None


def load_feature(name: str, options: FeatureOptions = FeatureOptions()) -> Feature:
    """A feature of `feature_names` with its networks.

    Raises:
        UsageError: no such feature; weights for one that has none.
        ModelError: a package or weights are missing, or of another kind.
        ResourceError: there is not enough memory for the networks.
    """
    if name in SMALL_NAMES:
        return _small(name, options)
    if name not in VARIANTS:
        raise UsageError(f"there is no feature {name!r}", hint=f"known: {', '.join(feature_names())}")
    needs = VARIANTS[name].needs
    if "fusion" not in needs and options.weights is not None:
        raise UsageError(f"{name} is not trained and takes no weights", hint="leave out --weights, or --matcher matcha")
    _refuse_missing(name, needs, options)
    _refuse_small_memory(name, needs, options)

    from xmatch.networks.matcha.cache import FeatureCache
    from xmatch.networks.matcha.diffusion import load_stable_diffusion
    from xmatch.networks.matcha.dino import load_dino
    from xmatch.networks.matcha.fusion import Fusion

    fusion = None
    if "fusion" in needs:
        found = load_network(options.weights or "matcha")
        if not isinstance(found.network, Fusion):
            raise ModelError(f"holds weights of {found.entry.title}, not of MATCHA's fusion", path=options.weights)
        fusion = found.network.to(options.device)
    how = {"device": options.device, "half": options.half, "may_download": options.may_download}
    foundation = Foundation(
        load_stable_diffusion(options.diffusion, **how) if "diffusion" in needs else None,  # type: ignore[arg-type]
        load_dino(options.dino, **how) if "dino" in needs else None,  # type: ignore[arg-type]
        ensemble=options.ensemble,
        seed=options.seed,
        cache=FeatureCache(options.cache) if options.cache else None,
        settings={"precision": ("half on " + options.device.partition(":")[0]) if options.half else "single"},
    )
    return PublishedFeature(name, foundation, fusion)


def _small(name: str, options: FeatureOptions) -> Feature:
    """matcha-small, which needs no network of the hub."""
    from xmatch.networks.matcha.small import MatchaSmall, SmallFeature

    if options.weights is None and "matcha-small" not in shipped():
        hint = "--weights FILE, of xmatch pretrain recipes/pretrain-matcha.yaml (docs/matcha.md)"
        raise ModelError("no weights of matcha-small come with the package", hint=hint)
    found = load_network(options.weights or "matcha-small")
    if not isinstance(found.network, MatchaSmall):
        raise ModelError(f"holds weights of {found.entry.title}, not of matcha-small", path=options.weights)
    return SmallFeature(found.network.to(options.device), name)


def _refuse_missing(name: str, needs: frozenset[str], options: FeatureOptions) -> None:
    """All that is not on this machine in one complaint: nobody wants to hear of one after the other."""
    missing = []
    if "diffusion" in needs and not _is_here(options.diffusion, "unet/config.json", options):
        sizes = f"{STABLE_DIFFUSION_GB} GB, {STABLE_DIFFUSION_GB / 2} GB in half precision"
        missing.append(f"Stable Diffusion 2.1 ({options.diffusion}, {sizes})")
    if "dino" in needs and not _is_here(options.dino, "config.json", options):
        missing.append(f"DINOv2 ViT-L/14 ({options.dino}, {DINO_GB} GB)")
    hub = bool(missing)
    row, _ = published()["matcha"]
    fusion = "fusion" in needs and options.weights is None and not fetched(row).is_file()
    if fusion:
        missing.append(f"the weights of its fusion ({row.file} from {row.source}, a few hundred MB)")
    if not missing:
        return
    hints = ["--allow-download, or folders by --diffusion and --dino"] if hub else []
    hints += ["--weights FILE for the fusion; --matcher dift-dinov2 needs none"] if fusion else []
    raise ModelError(f"{name} needs what is not on this machine: {'; '.join(missing)}", hint="; ".join(hints))


def _is_here(weights: str, file: str, options: FeatureOptions) -> bool:
    if Path(weights).is_dir() or options.may_download:
        return True
    return isinstance(extra_package("huggingface_hub").try_to_load_from_cache(weights, file), str)


def _refuse_small_memory(name: str, needs: frozenset[str], options: FeatureOptions) -> None:
    """A system out of memory ends a process without a word; so it is asked before."""
    free = free_bytes()
    if free is None or not options.device.startswith("cpu"):
        return
    sizes = {"diffusion": (options.diffusion, STABLE_DIFFUSION_GB), "dino": (options.dino, DINO_GB)}
    wanted = sum(_single_bytes(*sizes[need]) for need in needs if need in sizes) * (0.5 if options.half else 1.0)
    if wanted > free:
        raise ResourceError(
            f"the networks of {name} take {wanted / 1e9:.1f} GB of memory; {free / 1e9:.1f} GB are free",
            hint="--precision half, --matcher dinov2, or a machine with more memory",
        )


def _single_bytes(weights: str, published_gb: float) -> float:
    """What a folder holds; of a name on the hub what is published."""
    folder = Path(weights)
    if not folder.is_dir():
        return published_gb * 1e9
    return float(sum(path.stat().st_size for path in folder.rglob("*.safetensors") if ".fp16." not in path.name))


def free_bytes() -> int | None:
    """Memory that programs can still take, where the system says so."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else None
