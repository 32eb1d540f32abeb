"""The command line of `python -m xmatch.training`: argparse, since training machines may lack Typer."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from xmatch.errors import XmatchError
from xmatch.training.loop import Reporter, TrainingOutcome
from xmatch.training.pretrain import Options, plan, pretrain

SCHEMA = "xmatch.pretrain/1"


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser("xmatch.training", description="Train a matcher as RECIPE says.")
    add = found.add_argument
    add("recipe", type=Path, help="YAML file of the run")
    add("-o", "--output", type=Path, help="folder of the run; default runs/<name of the recipe>")
    add("--max-minutes", type=float, help="save and leave after this long")
    add("--resume", action=argparse.BooleanOptionalAction, default=True, help="go on from the newest checkpoint")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add("--seed", type=int, help="in place of the recipe's")
    add("--threads", type=int, help="threads of this process; default all cores")
    add("--data", type=Path, help="where relative folders of the recipe start; default the recipe's own folder")
    add("--init", type=Path, help="weights to start from: a file, or the name of a model")
    add("--companion-weights", help="weights of what the network works on (RoMa: DINOv2; LightGlue: a detector)")
    add("--json", action="store_true", help="result, or failure, as JSON on stdout")
    add("--dry-run", action="store_true", help="check everything, train nothing")
    add("-q", "--quiet", action="store_true", help="say nothing but errors")
    return found


def run(arguments: list[str] | None = None) -> int:
    """Parse, train, print; the exit code."""
    given = vars(parser().parse_args(arguments))
    as_json, dry_run, quiet = (given.pop(name) for name in ("json", "dry_run", "quiet"))
    as_json = as_json and os.environ.get("RANK", "0") == "0"  # under torchrun one process answers
    options = Options(**given)
    try:
        if dry_run:
            planned = plan(options)
            print(json.dumps(planned) if as_json else "\n".join(plan_lines(planned)))
            return 0
        outcome = pretrain(options, Reporter(warn=_say) if quiet else Reporter(say=_say, warn=_say))
    except XmatchError as error:
        print(f"xmatch: {error}", file=sys.stderr)
        if as_json:
            failure = {"schema": "xmatch.failure/1", "ok": False, "exit_code": int(error.exit_code)}
            print(json.dumps({**failure, "error": error.as_dict()}))
        return int(error.exit_code)
    if as_json:
        print(json.dumps(document(outcome)))
    return int(outcome.exit_code)


def document(outcome: TrainingOutcome) -> dict[str, Any]:
    """The result of a session as JSON."""
    found = {name: None if _is_nan(value) else value for name, value in asdict(outcome).items()}
    found["validation"] = {name: None if _is_nan(value) else value for name, value in outcome.validation.items()}
    return {"schema": SCHEMA, "ok": outcome.exit_code == 0, **found, "exit_code": int(outcome.exit_code)}


def plan_lines(planned: dict[str, Any]) -> list[str]:
    """A plan in words."""
    batch = "x".join(map(str, planned["batch"]))
    lines = [
        f"{planned['objective']}: {planned['parameters']:,} parameters on {planned['device']}",
        f"{planned['steps']:,} steps, {planned['pairs']:,} pairs, the first batch {batch}",
        *(f"data: {line}" for line in planned["data"]),
        f"into {planned['output']}" + (f", going on from step {planned['step']}" if planned["step"] else ""),
        *(f"note: {note}" for note in planned["notes"]),
    ]
    return lines


def _is_nan(value: Any) -> bool:
    return value != value


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
