"""What `xmatch synth` is to do: the recipe, and what the command line says instead."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmatch.errors import UsageError

if TYPE_CHECKING:
    from xmatch.synth.learned.base import LearnedSpec
    from xmatch.synth.recipe import SourceSpec, SynthRecipe
    from xmatch.synth.shards import Plan


def settings_of(
    recipe: Path | None,
    given: dict[str, Any],
    folders: Sequence[str],
    modalities: str | None,
    worlds: str | None,
    across: bool,
) -> SynthRecipe:
    """The recipe with what the command line says; folders absolute, names checked.

    Args:
        given: keys of the recipe -> values, None where the command line says nothing.
        modalities: names by commas, for every source that is seen through generators.
        worlds: names by commas, a further source.

    Raises:
        UsageError: the recipe or a name is wrong, or there is nothing to draw from.
    """
    from xmatch.recipe import load_recipe, resolve
    from xmatch.synth.layouts import kind_of
    from xmatch.synth.recipe import SourceSpec, SynthRecipe, check_modalities, check_worlds, located

    base, data = SynthRecipe(), []
    if recipe is not None:
        base = load_recipe(recipe, SynthRecipe)
        data = [s if s.folder is None else dataclasses.replace(s, folder=resolve(recipe, s.folder)) for s in base.data]
        data = [dataclasses.replace(s, names=located(s.names, recipe.parent)) for s in data]
        base = dataclasses.replace(base, modalities=located(base.modalities, recipe.parent))
    data += [SourceSpec(kind_of(folder), str(Path(folder).absolute())) for folder in folders]
    if worlds is not None:
        data.append(SourceSpec("worlds", names=_words(worlds, "world")))
        check_worlds(data[-1].names)
    names = base.modalities if modalities is None else located(_modalities(modalities), Path())
    if not names:
        raise UsageError("no modality is named", hint="--modalities sar,infrared")
    check_modalities(names)
    data = [_with_names(spec, names, modalities is not None, across) for spec in data]
    if not data:
        raise UsageError("nothing to make pairs from", hint="name a folder of images, or --worlds")
    values = {name: value for name, value in given.items() if value is not None}
    try:
        return dataclasses.replace(base, data=tuple(data), modalities=names, **values)
    except ValueError as error:
        raise UsageError(str(error)) from None


def plan_of(settings: SynthRecipe, device: str, licences: dict[str, str]) -> Plan:
    """What is to be written.

    Args:
        licences: of the weights of learned modalities, by sensor; they are written down with the shards.
    """
    from xmatch.synth.shards import Plan

    data = [spec.as_dict() for spec in settings.data]
    learned = (("licences", licences),) if licences else ()
    return Plan(
        settings.count,
        settings.size,
        settings.shard_pairs,
        settings.channels,
        settings.seed,
        settings.difficulty,
        (("data", data), ("device", device.partition(":")[0]), *learned),
    )


def _with_names(spec: SourceSpec, names: tuple[str | LearnedSpec, ...], forced: bool, across: bool) -> SourceSpec:
    """The command line's sensors, or the recipe's for a source that names none."""
    from xmatch.synth.recipe import WITHOUT_NAMES

    if spec.kind in ("worlds", "pairs", "shards", *WITHOUT_NAMES):
        return spec
    names = names if forced or not spec.names else spec.names
    return dataclasses.replace(spec, names=names, across=across or spec.across)


def _modalities(text: str) -> tuple[str | LearnedSpec, ...]:
    """Names by commas; "learned:depth" and "learned:depth=WEIGHTS" are learned ones."""
    from xmatch.synth.learned.base import PREFIX, LearnedSpec

    try:
        return tuple(LearnedSpec.parsed(word) if word.startswith(PREFIX) else word for word in _words(text, "modality"))
    except ValueError as error:
        raise UsageError(str(error), hint="--modalities learned:depth, or learned:depth=WEIGHTS") from None


def _words(text: str, what: str) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if not words:
        raise UsageError(f"no {what} is named", hint="name some, separated by commas")
    return words
