"""What `xmatch synth` says that it made, or would make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xmatch.synth.manifest import Manifest
    from xmatch.synth.recipe import SynthRecipe
    from xmatch.synth.shards import Plan

SCHEMA = "xmatch.synth/1"


def summary(
    settings: SynthRecipe,
    plan: Plan,
    target: Path,
    done: Manifest,
    usable: dict[str, int],
    unusable: int,
    device: str,
    dry_run: bool,
) -> dict[str, Any]:
    """JSON-ready.

    Args:
        usable: files by kind of source.
        unusable: files that are not.
    """
    return {
        "schema": SCHEMA,
        "ok": True,
        "dry_run": dry_run,
        "output": str(target),
        "pairs": plan.count if dry_run else done.count,
        "shards": plan.shards if dry_run else len(done.shards),
        "bytes": plan.bytes if dry_run else sum(shard.bytes for shard in done.shards),
        "size": plan.size,
        "seed": plan.seed,
        "device": device,
        "data": [spec.as_dict() for spec in settings.data],
        "usable": usable,
        "quarantined": unusable,
    }


def summary_lines(document: dict[str, Any]) -> list[str]:
    """The same for people."""
    said = "would write" if document["dry_run"] else "wrote"
    if document["made_before"]:
        said = f"{document['made_before']} pairs are there already; with them: {said}"
    about = "about " if document["dry_run"] else ""
    lines = [f"{kind}: {number} usable files" for kind, number in document["usable"].items()]
    if document["quarantined"]:
        where = "" if document["dry_run"] else "; reasons in quarantine.jsonl"
        lines.append(f"{document['quarantined']} files cannot be used{where}")
    lines.append(
        f"{said} {document['pairs']} pairs of {document['size']} px in {document['shards']} shards, "
        f"{about}{document['bytes'] / 2**20:,.0f} MiB, to {document['output']}"
    )
    if "preview" in document:
        lines.append(f"wrote {document['preview']}")
    return lines
