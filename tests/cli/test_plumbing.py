"""Every option of the command line arrives where the work is done: each field of what the library takes, one by one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from xmatch.adaptation.collect import PairRequest
from xmatch.adaptation.options import AdaptOptions
from xmatch.cli.eval_settings import Changes
from xmatch.errors import ExitCode, InputError
from xmatch.evaluation import EvalRecipe
from xmatch.io import ReadOptions
from xmatch.recipe import load_recipe
from xmatch.registration.options import RegisterOptions
from xmatch.synth.recipe import SynthRecipe
from xmatch.training.pretrain import Options as PretrainOptions


def fields(cls: type) -> set[str]:
    return {field.name for field in dataclasses.fields(cls)}


@pytest.fixture
def caught(monkeypatch):
    """caught("module.function") puts something in its place that takes down what it is called with, and fails."""

    def put(target: str) -> list[tuple]:
        calls = []

        def instead(*args, **more):
            calls.append(args)
            raise InputError("far enough")

        monkeypatch.setattr(target, instead)
        return calls

    return put


REGISTER = {
    "matcher": (["--matcher", "sift"], "sift"),
    "weights": (["--weights", "own.safetensors"], "own.safetensors"),
    "companion_weights": (["--companion-weights", "disk.pth"], "disk.pth"),
    "transform": (["--transform", "affine"], "affine"),
    "use_georef": (["--ignore-georef"], False),
    "max_angle_deg": (["--max-angle", "25"], 25.0),
    "max_scale": (["--max-scale", "3"], 3.0),
    "mirror": (["--mirror"], True),
    "max_tiles": (["--max-tiles", "400"], 400),
    "tile_px": (["--tile-size", "1024"], 1024),
    "seed": (["--seed", "7"], 7),
    "threads": (["--threads", "3"], 3),
    "device": (["--device", "cpu"], "cpu"),
    "tie_points": (["--tie-points", "by-hand.csv"], "by-hand.csv"),
    "mask": (["--mask", "here.tif"], "here.tif"),
    "moving_mask": (["--moving-mask", "there.geojson"], "there.geojson"),
    "roi": (["--roi", "1,2,30,20"], "1,2,30,20"),
    "check_points": (["--check-points", "control.csv"], "control.csv"),
}
"""Field of `RegisterOptions` -> words of the command line, and what they mean."""
WITH_OTHERS = {
    "tie_points_only": (["--tie-points-only", "--tie-points", "by-hand.csv"], True),
    "initial": (["--initial", "1,0,4,0,1,3"], "1,0,4,0,1,3"),
    "near_shift_px": (["--near-shift", "12", "--initial", "1,0,4,0,1,3"], 12.0),
}
"""The same of those that mean nothing alone, or exclude others."""
IN_RECIPES_ONLY = {"view_px"}


def test_every_field_of_a_registration_has_its_option():
    assert REGISTER.keys() | WITH_OTHERS.keys() | IN_RECIPES_ONLY == fields(RegisterOptions)


@pytest.mark.parametrize("command", ["register", "match"])
@pytest.mark.parametrize("field", REGISTER | WITH_OTHERS)
def test_what_is_said_of_a_registration_arrives(cli, pair, caught, command, field):
    calls = caught("xmatch.registration.pipeline.register")
    words, expected = (REGISTER | WITH_OTHERS)[field]
    assert cli(command, *pair, *words).code == ExitCode.INPUT
    [(_, _, options, *_)] = calls
    assert getattr(options, field) == expected != getattr(RegisterOptions(), field)


def test_what_is_said_of_a_batch_arrives(cli, pair, caught):
    calls = caught("xmatch.registration.pipeline.register")
    Path("pairs.csv").write_text(",".join(pair))
    words = [word for words, _ in REGISTER.values() for word in words]
    assert cli("register", "--pairs", "pairs.csv", *words).code == ExitCode.BATCH
    [(_, _, options, *_)] = calls
    assert options == RegisterOptions(**{field: expected for field, (_, expected) in REGISTER.items()})


def threads_of_both(items, jobs, threads, _) -> tuple[int, int]:
    """Those of libraries in each worker, and those that a pair is registered with."""
    return threads, items[0].settings.running.thread_count


IN_PROCESSES, ON_CLUSTER = "xmatch.workers.processes.run_in_processes", "xmatch.workers.cluster.run_on_cluster"
WORKERS = {
    "jobs": (["--jobs", "3"], IN_PROCESSES, lambda items, jobs, threads, limit_s: jobs, 3),
    "jobs_here": (
        ["--cluster", "local", "-j", "3"],
        ON_CLUSTER,
        lambda items, where, jobs, limit_s: (where, jobs),
        (None, 3),
    ),
    "cluster": (
        ["--cluster", "tcp://10.0.0.1:8786"],
        ON_CLUSTER,
        lambda items, where, jobs, limit_s: where,
        "tcp://10.0.0.1:8786",
    ),
    "threads": (
        ["--jobs", "3", "--threads", "5"],
        IN_PROCESSES,
        threads_of_both,
        (5, 5),
    ),
    "time_limit": (
        ["--time-limit", "90"],
        IN_PROCESSES,
        lambda items, jobs, threads, limit_s: (jobs, limit_s),
        (1, 90),
    ),
    "time_limit_there": (
        ["--cluster", "tcp://10.0.0.1:8786", "--time-limit", "90"],
        ON_CLUSTER,
        lambda items, where, jobs, limit_s: limit_s,
        90,
    ),
}
"""Words of the command line, who is asked then, and for what."""


@pytest.mark.parametrize("case", WORKERS)
def test_where_the_pairs_of_a_batch_are_registered_arrives(cli, pair, caught, case):
    words, runner, seen, expected = WORKERS[case]
    if "--cluster" in words:
        pytest.importorskip("distributed")
    calls = caught(runner)
    Path("pairs.csv").write_text(",".join(pair))
    assert cli("register", "--pairs", "pairs.csv", *words).code == ExitCode.INPUT
    [(_, items, *more)] = calls
    assert seen(list(items), *more) == expected


@pytest.mark.parametrize(("jobs", "threads"), [("2", 4), ("3", 2), ("9", 1)])
def test_jobs_share_the_cores(cli, pair, caught, monkeypatch, jobs, threads):
    monkeypatch.setattr("xmatch.cli.workers.cores", lambda: 8)
    calls = caught(IN_PROCESSES)
    Path("pairs.csv").write_text(",".join(pair))
    cli("register", "--pairs", "pairs.csv", "--jobs", jobs)
    [(_, items, *more)] = calls
    assert threads_of_both(list(items), *more) == (threads, threads)


def test_jobs_say_nothing_of_the_workers_of_another_machine(cli, pair):
    pytest.importorskip("distributed")
    Path("pairs.csv").write_text(",".join(pair))
    assert cli("register", "--pairs", "pairs.csv", "--cluster", "tcp://10.0.0.1:8786", "-j", "2").code == ExitCode.USAGE


OF_ONE_PAIR = {"tie_points", "mask", "moving_mask", "roi", "check_points"}
"""Fields of `RegisterOptions` that a group has no options for."""


def test_what_is_said_of_a_group_arrives(cli, pair, caught):
    calls = caught("xmatch.registration.group.register_group")
    said = {field: word for field, word in REGISTER.items() if field not in OF_ONE_PAIR}
    words = [word for words, _ in said.values() for word in words]
    assert cli("align", *pair, *words, "--reference", pair[1], "--pairs-per-image", 3).code == ExitCode.INPUT
    [(_, options, _)] = calls
    assert options.register == RegisterOptions(**{field: expected for field, (_, expected) in said.items()})
    assert (options.reference, options.pairs_per_image) == (1, 3)


def test_what_a_recipe_says_of_registrations_arrives(tmp_path):
    Path(tmp_path / "eval.yaml").write_text("manifest: [none.jsonl]\nregister: {view_px: 320, max_angle_deg: 25}\n")
    assert load_recipe(tmp_path / "eval.yaml", EvalRecipe).register == RegisterOptions(view_px=320, max_angle_deg=25.0)


READING = {
    "bands": ("band", "2,1", (2, 1)),
    "page": ("page", "1", 1),
    "series": ("series", "1", 1),
    "nodata": ("nodata", "-9999", -9999.0),
    "assume_crs": ("assume-crs", "EPSG:32633", "EPSG:32633"),
}
"""Field of `ReadOptions` that each file has an option for -> its name, a word, and what that means."""
FOR_BOTH = {
    "max_memory_bytes": (["--max-memory", "1G"], 2**30),
    "allow_damaged": (["--allow-damaged"], True),
    "allow_remote": (["--allow-remote"], True),
    "offline": (["--offline"], True),
}
OF_THE_FILE = {"option_prefix", "ignore_georef"}


def test_every_field_of_reading_has_its_option():
    assert READING.keys() | FOR_BOTH.keys() | OF_THE_FILE == fields(ReadOptions)


@pytest.fixture
def opened(monkeypatch):
    """ReadOptions of every file that is opened, by its name."""
    from xmatch import io

    own, found = io.open_source, {}

    def instead(path, options=ReadOptions(), *args, **more):
        found[Path(path).name] = options
        return own(path, ReadOptions())

    monkeypatch.setattr(io, "open_source", instead)
    return found


@pytest.mark.parametrize("prefix", ["", "moving-"])
@pytest.mark.parametrize("field", READING)
def test_what_is_said_of_one_file_is_said_of_that_file_alone(cli, pair, caught, opened, prefix, field):
    caught("xmatch.registration.pipeline.register")
    name, word, expected = READING[field]
    cli("register", *pair, f"--{prefix}{name}={word}")
    meant, other = (opened[path] for path in (pair if not prefix else reversed(pair)))
    assert getattr(meant, field) == expected and getattr(other, field) is None
    assert [opened[path].option_prefix for path in pair] == ["", "moving-"]


@pytest.mark.parametrize("field", FOR_BOTH)
def test_what_is_said_of_reading_is_said_of_both_files(cli, pair, caught, opened, field):
    caught("xmatch.registration.pipeline.register")
    words, expected = FOR_BOTH[field]
    cli("register", *pair, *words)
    assert [getattr(opened[path], field) for path in pair] == [expected, expected]


def test_each_image_of_a_group_is_read_as_it_is_told(cli, pair, caught, opened):
    caught("xmatch.registration.group.register_group")
    for words, _ in FOR_BOTH.values():
        cli("align", *pair, *words, "--band", "2,1", "--nodata=-9999")
        expected = {field: value for field, (own, value) in FOR_BOTH.items() if own == words}
        assert [opened[path] for path in pair] == [ReadOptions(bands=(2, 1), nodata=-9999.0, **expected)] * 2


def test_georeferencing_is_ignored_in_moving_alone(cli, pair, caught, opened):
    caught("xmatch.registration.pipeline.register")
    cli("register", *pair, "--ignore-georef")
    assert [opened[path].ignore_georef for path in pair] == [False, True]


def test_apply_reads_and_writes_as_it_is_told(cli, pair, opened, monkeypatch):
    cli("register", *pair)
    asked = {}

    def written(path, source, transform, grid, **more):
        asked.update(more)
        raise InputError("far enough")

    monkeypatch.setattr("xmatch.resampling.registered_file.write_registered", written)
    words = ["--moving-band=1", "--moving-page=0", "--moving-series=0", "--moving-nodata=3", "--ignore-georef"]
    words += ["--moving-assume-crs=EPSG:32633", "--max-memory=1G", "--allow-damaged", "--allow-remote"]
    words += ["--threads=3", "--resampling=bilinear", "-o", "other.tif"]
    assert cli("apply", "sar.registered.report.json", "sar.tif", *words).code == ExitCode.INPUT
    assert opened["sar.tif"] == ReadOptions(
        (1,), 0, 0, 3.0, "EPSG:32633", True, "moving-", max_memory_bytes=2**30, allow_damaged=True, allow_remote=True
    )
    assert (asked["resampling"], asked["threads"], asked["max_memory_bytes"]) == ("bilinear", 3, 2**30)


EVAL = {
    "matchers": (["--matchers", "sift,mi"], lambda r: r.matchers, ("sift", "mi")),
    "matcher": (["--matcher", "sift"], lambda r: (r.register.matcher, r.matchers), ("sift", ())),
    "controls": (["--no-controls"], lambda r: r.controls, False),
    "form": (["--form", "crop"], lambda r: r.fill, "crop"),
    "transform": (["--transform", "affine"], lambda r: r.register.transform, "affine"),
    "weights": (["--weights", "own.safetensors"], lambda r: r.register.weights, "own.safetensors"),
    "companion_weights": (["--companion-weights", "disk.pth"], lambda r: r.register.companion_weights, "disk.pth"),
    "seed": (["--seed", "7"], lambda r: r.register.seed, 7),
    "limit": (["--limit", "5"], lambda r: r.limit, 5),
    "threads": (["--threads", "3"], lambda r: r.register.threads, 3),
    "device": (["--device", "cpu"], lambda r: r.register.device, "cpu"),
}


def test_every_change_of_an_evaluation_is_looked_at():
    assert EVAL.keys() == fields(Changes)


@pytest.mark.parametrize("field", EVAL)
def test_what_is_said_of_an_evaluation_arrives(cli, tmp_path, monkeypatch, caught, field):
    monkeypatch.chdir(tmp_path)
    Path("eval.yaml").write_text("manifest: [none.jsonl]\nmatchers: [mi]\n")
    calls = caught("xmatch.cli.eval_run.by_kind")
    words, seen, expected = EVAL[field]
    assert cli("eval", "eval.yaml", *words).code == ExitCode.INPUT
    [(recipe,)] = calls
    assert seen(recipe) == expected != seen(load_recipe(Path("eval.yaml"), EvalRecipe))


def test_several_jobs_have_one_thread_each(cli, tmp_path, monkeypatch, caught):
    monkeypatch.chdir(tmp_path)
    Path("eval.yaml").write_text("manifest: [none.jsonl]\n")
    calls = caught("xmatch.cli.eval_run.by_kind")
    cli("eval", "eval.yaml", "--threads", "3", "--jobs", "2")
    assert calls[0][0].register.threads == 1


PRETRAIN = {
    "recipe": ([], Path("run.yaml")),
    "output": (["-o", "there"], Path("there")),
    "max_minutes": (["--max-minutes", "2.5"], 2.5),
    "resume": (["--no-resume"], False),
    "device": (["--device", "cpu"], "cpu"),
    "seed": (["--seed", "7"], 7),
    "threads": (["--threads", "3"], 3),
    "data": (["--data", "images"], Path("images")),
    "init": (["--init", "own.safetensors"], Path("own.safetensors")),
    "companion_weights": (["--companion-weights", "dino.pth"], "dino.pth"),
}


@pytest.mark.parametrize("field", sorted(fields(PretrainOptions) - {"begun"}))
def test_what_is_said_of_a_training_arrives(cli, caught, field):
    calls = caught("xmatch.training.pretrain.pretrain")
    words, expected = PRETRAIN[field]
    assert cli("pretrain", "run.yaml", *words).code == ExitCode.INPUT
    options = calls[0][0]
    assert getattr(options, field) == expected != getattr(PretrainOptions(Path("other.yaml")), field)


def test_what_is_said_of_a_file_to_export_arrives(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = {}

    def written(part, size, *, opset, told):
        asked.update(size=size, opset=opset, weights=told["weights"])
        raise InputError("far enough")

    monkeypatch.setattr("xmatch.networks.exported.onnx_file", written)
    words = ("-o", "fields.onnx", "--size", "240", "96", "--opset", "17")
    assert cli("models", "export", "xmatch-fields", *words).code == ExitCode.INPUT
    assert asked == {"size": (240, 96), "opset": 17, "weights": "xmatch-fields.safetensors"}


ASKED = {
    "labelled": (["--labelled", "5"], 5),
    "pairs": ([], Path("pairs")),
    "unlabelled": (["--unlabelled", "a", "--unlabelled", "b"], (Path("a"), Path("b"))),
    "trust_georef": (["--trust-georef"], True),
    "pattern": (["--pattern", "{}_a {}_b"], "{}_a {}_b"),
}
ADAPT = {
    "output": (["-o", "mine.safetensors"], Path("mine.safetensors")),
    "matcher": (["--matcher", "xmatch-small"], "xmatch-small"),
    "weights": (["--weights", "own.safetensors"], "own.safetensors"),
    "companion_weights": (["--companion-weights", "dino.pth"], "dino.pth"),
    "max_minutes": (["--max-minutes", "2.5"], 2.5),
    "resume": (["--no-resume"], False),
    "device": (["--device", "cpu"], "cpu"),
    "threads": (["--threads", "3"], 3),
    "overwrite": (["--overwrite"], True),
    "seed": (["--seed", "7"], 7),
}


@pytest.mark.parametrize("field", sorted(fields(AdaptOptions) - {"request", "begun", "recipe"}))
def test_what_is_said_of_an_adaptation_arrives(cli, caught, field):
    calls = caught("xmatch.adaptation.adapt.adapt")
    words, expected = ADAPT[field]
    assert cli("adapt", "pairs", *words).code == ExitCode.INPUT
    options = calls[0][0]
    assert (
        getattr(options, field)
        == expected
        != getattr(AdaptOptions(request=PairRequest(2), output=Path("adapted.safetensors")), field)
    )


@pytest.mark.parametrize("field", sorted(fields(PairRequest)))
def test_what_is_said_of_the_pairs_to_adapt_to_arrives(cli, caught, field):
    calls = caught("xmatch.adaptation.adapt.adapt")
    words, expected = ASKED[field]
    assert cli("adapt", "pairs", *words).code == ExitCode.INPUT
    assert getattr(calls[0][0].request, field) == expected != getattr(PairRequest(2), field)


def test_the_recipe_of_an_adaptation_arrives(cli, caught, tmp_path):
    calls = caught("xmatch.adaptation.adapt.adapt")
    (tmp_path / "own.yaml").write_text("steps: 17\n")
    assert cli("adapt", "pairs", "--recipe", tmp_path / "own.yaml").code == ExitCode.INPUT
    assert calls[0][0].recipe.steps == 17


SYNTH = {
    "count": (["--count", "7"], lambda told: told["pairs"], 7),
    "size": (["--size", "64"], lambda told: told["size"], 64),
    "seed": (["--seed", "7"], lambda told: told["seed"], 7),
    "modalities": (["--modalities", "sar,depth"], lambda told: told["data"][0]["names"], ["sar", "depth"]),
    "across": (["--across"], lambda told: told["data"][0]["across"], True),
    "worlds": (["--worlds", "city"], lambda told: [part["names"] for part in told["data"][1:]], [["city"]]),
}
"""Words of the command line, and where a dry run shows them."""


@pytest.mark.parametrize("option", SYNTH)
def test_what_is_said_of_pairs_to_make_arrives(cli, tmp_path, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    cv2.imwrite("photos/one.png", np.random.default_rng(0).integers(0, 255, (96, 96), np.uint8))
    words, seen, expected = SYNTH[option]
    plain = cli("synth", "photos", "--dry-run", "--json", "--device", "cpu")
    told = cli("synth", "photos", "--dry-run", "--json", "--device", "cpu", *words)
    assert plain.code == told.code == ExitCode.OK
    assert seen(told.json) == expected != seen(plain.json)


@pytest.mark.parametrize("more", [(), ("--views", "2")])
def test_where_pairs_are_made_arrives(cli, tmp_path, monkeypatch, caught, more):
    monkeypatch.chdir(tmp_path)
    calls = caught(IN_PROCESSES)
    words = ("synth", "--worlds", "city", "--count", "600", "--size", "32", "--device", "cpu", *more)
    assert cli(*words, "--jobs", "3").code == ExitCode.INPUT
    [(_, items, jobs, *_)] = calls
    assert (len(items), jobs) == (600 if more else 3, 3)


def test_views_of_worlds_and_how_many_arrive(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("synth", "--worlds", "city", "--count", "3", "--dry-run", "--json", "--device", "cpu")
    assert (cli(*words, "--views", "4").json["views"], "views" in cli(*words).json) == (4, False)


def test_what_a_recipe_says_of_pairs_to_make_arrives_unless_the_command_line_says_otherwise(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("synth.yaml").write_text("data: [{kind: worlds, names: [city]}]\ncount: 9\nsize: 96\nseed: 4\n")
    told = cli("synth", "--recipe", "synth.yaml", "--dry-run", "--json", "--device", "cpu", "--seed", "5").json
    assert (told["pairs"], told["size"], told["seed"]) == (9, 96, 5) != (SynthRecipe().count,)
