"""What the command line of `xmatch eval` says instead of the recipe."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from xmatch.errors import UsageError

if TYPE_CHECKING:
    from xmatch.evaluation import EvalRecipe

_PANEL = "Instead of what the recipe says"


def _option(*names: str, help: str, **more: object):
    return typer.Option(*names, help=help, rich_help_panel=_PANEL, show_default=False, **more)


@dataclass(frozen=True)
class Changes:
    matchers: Annotated[
        str | None, _option("--matchers", help="Compare these matchers and peers: names with commas between them.")
    ] = None
    matcher: Annotated[str | None, _option("--matcher", help="Measure this one alone.")] = None
    controls: Annotated[
        bool | None,
        _option("--controls/--no-controls", help="Let identity, centre, border-fit and truth join."),
    ] = None
    form: Annotated[
        Literal["published", "crop", "fill"] | None,
        _option("--form", help="Moving images as they are, cut to content, or with their border filled with noise."),
    ] = None
    transform: Annotated[str | None, _option("--transform", help="Fit this kind of map.")] = None
    weights: Annotated[str | None, _option("--weights", help="Weights for the matcher.")] = None
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
        names = ("matcher", "transform", "weights", "seed", "device")
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        threads = 1 if jobs > 1 else self.threads
        checked(given.get("device", recipe.register.device))
        register = dataclasses.replace(recipe.register, **given, **({"threads": threads} if threads else {}))
        if register.transform not in ("auto", *TRANSFORMS):
            known = ", ".join(("auto", *TRANSFORMS))
            raise UsageError(f"transform {register.transform!r} is not known", hint=f"one of {known}")
        more = {"limit": self.limit, "controls": self.controls, "fill": self.form and FORMS[self.form]}
        if self.matcher:
            more["matchers"] = ()
        elif self.matchers:
            named = (name.strip() for name in self.matchers.split(","))
            more["matchers"] = tuple(_as_described(name, recipe) for name in named if name)
        more = {name: value for name, value in more.items() if value is not None}
        return dataclasses.replace(recipe, register=register, **more)


def _as_described(name: str, recipe: EvalRecipe):
    """What the recipe says of the matcher that its tables call `name`; the name where it says nothing."""
    described = (spec for spec in recipe.matchers if not isinstance(spec, str) and (spec.name or spec.matcher) == name)
    return next(described, name)
