"""What the command line of `xmatch eval` says instead of the recipe."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from xmatch.errors import UsageError

if TYPE_CHECKING:
    from xmatch.evaluation import EvalRecipe, MatcherSpec

Value = TypeVar("Value")

_PANEL = "Instead of what the recipe says"


def _option(*names: str, help: str, min: int | None = None) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=_PANEL, show_default=False, min=min)


@dataclass(frozen=True)
class Changes:
    matchers: Annotated[
        str | None, _option("--matchers", help="Compare these matchers and peers: names with commas between them.")
    ] = None
    matcher: Annotated[str | None, _option("--matcher", help="Measure this one alone.")] = None
    controls: Annotated[
        bool | None,
        _option("--controls/--no-controls", help="Let controls (identity, truth, ...) join."),
    ] = None
    form: Annotated[
        Literal["published", "crop", "fill"] | None,
        _option("--form", help="Moving images as they are, cut to content, or with their border filled with noise."),
    ] = None
    transform: Annotated[str | None, _option("--transform", help="Fit this kind of map.")] = None
    weights: Annotated[str | None, _option("--weights", help="Weights for the matcher.")] = None
    companion_weights: Annotated[
        str | None, _option("--companion-weights", help="Of the network that the weights' own works on.")
    ] = None
    seed: Annotated[int | None, _option("--seed", help="Seed of the registrations.", min=0)] = None
    limit: Annotated[int | None, _option("--limit", help="First so many pairs of each set only.", min=1)] = None
    threads: Annotated[int | None, _option("--threads", help="Threads per pair; 1 with several jobs.", min=1)] = None
    device: Annotated[str | None, _option("--device", help="auto, cpu, cuda or cuda:N.")] = None

    def applied(self, recipe: EvalRecipe, jobs: int) -> EvalRecipe:
        """The recipe with what the command line says.

        Raises:
            UsageError: an unknown kind of transform, or options that contradict each other.
        """
        from xmatch.evaluation.recipe import FORMS
        from xmatch.geometry import TRANSFORMS
        from xmatch.ops.devices import checked

        if self.matchers and self.matcher:
            raise UsageError("--matcher and --matchers contradict each other", hint="--matchers a,b,c names them all")
        base = recipe.register
        register = dataclasses.replace(
            base,
            matcher=_or(self.matcher, base.matcher),
            transform=_or(self.transform, base.transform),
            weights=_or(self.weights, base.weights),
            companion_weights=_or(self.companion_weights, base.companion_weights),
            seed=_or(self.seed, base.seed),
            device=checked(_or(self.device, base.device)),
            threads=1 if jobs > 1 else _or(self.threads, base.threads),
        )
        if register.transform not in ("auto", *TRANSFORMS):
            known = ", ".join(("auto", *TRANSFORMS))
            raise UsageError(f"transform {register.transform!r} is not known", hint=f"one of {known}")
        matchers = recipe.matchers
        if self.matcher:
            matchers = ()
        elif self.matchers:
            named = (name.strip() for name in self.matchers.split(","))
            matchers = tuple(_as_described(name, recipe) for name in named if name)
        return dataclasses.replace(
            recipe,
            register=register,
            matchers=matchers,
            limit=_or(self.limit, recipe.limit),
            controls=_or(self.controls, recipe.controls),
            fill=FORMS[self.form] if self.form else recipe.fill,
        )


def _or(given: Value | None, default: Value) -> Value:
    """What the command line says, or what the recipe says."""
    return default if given is None else given


def _as_described(name: str, recipe: EvalRecipe) -> str | MatcherSpec:
    """What the recipe says of the matcher that its tables call `name`; the name where it says nothing."""
    described = (spec for spec in recipe.matchers if not isinstance(spec, str) and (spec.name or spec.matcher) == name)
    return next(described, name)
