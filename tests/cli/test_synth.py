"""`xmatch synth`, from the command line to the files."""

from __future__ import annotations

import inspect
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from xmatch.cli import synth_work
from xmatch.cli.image_files import FilePart, largest_valid, parts_of, read_part
from xmatch.datasets import spair
from xmatch.errors import ExitCode, InputError, OutputError
from xmatch.io.writing.atomic import held
from xmatch.synth import shards
from xmatch.synth.learned import registry
from xmatch.synth.learned.base import LoadOptions
from xmatch.synth.manifest import read_manifest
from xmatch.synth.recipe import SourceSpec
from xmatch.synth.shard_reader import ShardReader

ROOT = Path(__file__).parents[2]
SMALL = ("--size", "32", "--count", "3", "--modalities", "curves", "--device", "cpu")


def picture(seed=0, height=70, width=90, dtype=np.uint8):
    rng = np.random.default_rng(seed)
    image = cv2.resize(rng.uniform(0, 1, (7, 9, 3)).astype(np.float32), (width, height))
    return (image * np.iinfo(dtype).max).astype(dtype)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of three pictures; the current one holds nothing else."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    for n in range(3):
        cv2.imwrite(str(folder / f"{n}.png"), picture(n))
    return folder


def test_images_become_shards_a_manifest_and_a_preview(cli, photos):
    result = cli("synth", "photos", "-o", "out", *SMALL, "--seed", 3, "--preview", "sheet.png", "--json")
    assert result.code == ExitCode.OK, result.err
    document = result.json
    assert document["schema"] == "xmatch.synth/1" and document["ok"]
    assert (document["pairs"], document["shards"], document["usable"]) == (3, 1, {"singles": 3})
    samples = list(ShardReader("out/pairs-000000.tar"))
    assert [s.facts["index"] for s in samples] == [0, 1, 2] and samples[0].fixed.shape == (32, 32)
    assert all({"visible", "curves"} >= set(s.facts["modalities"]) for s in samples)
    assert all(s.facts["origin"] in ("0.png", "1.png", "2.png") for s in samples)
    assert cv2.imread("sheet.png").shape[0] > 3 * 192
    assert not Path("out/quarantine.jsonl").exists()


def test_words_for_people_go_to_stderr(cli, photos):
    result = cli("synth", "photos", "-o", "out", *SMALL)
    assert result.out == "" and "wrote 3 pairs of 32 px in 1 shards" in result.err
    assert "3 pairs are there already" in cli("synth", "photos", "-o", "out", *SMALL).err
    assert cli("synth", "photos", "-o", "out2", *SMALL, "-q").err == ""


def test_files_that_cannot_be_used_are_listed_with_their_reason(cli, photos):
    (photos / "text.jpg").write_text("not an image")
    (photos / "empty.png").write_bytes(b"")
    (photos / "cut.png").write_bytes((photos / "0.png").read_bytes()[:400])
    (photos / "cut.webp").write_bytes(b"RIFF")
    cv2.imwrite(str(photos / "tiny.png"), picture()[:5, :5])
    cv2.imwrite(str(photos / "flat.png"), np.full((64, 64), 7, np.uint8))
    result = cli("synth", "photos", "-o", "out", *SMALL, "--json")
    assert result.code == ExitCode.OK
    rows = [json.loads(line) for line in Path("out/quarantine.jsonl").read_text().splitlines()]
    reasons = {Path(row["path"]).name: row["reason"] for row in rows}
    assert set(reasons) == {"text.jpg", "empty.png", "cut.png", "cut.webp", "tiny.png", "flat.png"}
    assert "too small" in reasons["tiny.png"] and "flat" in reasons["flat.png"] and "damaged" in reasons["cut.png"]
    assert result.json["quarantined"] == 6 and result.json["usable"] == {"singles": 3}


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["nowhere"], ExitCode.INPUT, "no such folder"),
        (["empty"], ExitCode.INPUT, "no images in this folder"),
        (["broken"], ExitCode.INPUT, "none of 1 images is usable"),
        (["photos", "--modalities", "sar,xray"], ExitCode.USAGE, "no modality 'xray'"),
        (["photos", "--modalities", " , "], ExitCode.USAGE, "no modality is named"),
        ([], ExitCode.USAGE, "nothing to make pairs from"),
        (["photos", "--count", "0"], ExitCode.USAGE, "count is 0"),
        (["photos", "--views", "2"], ExitCode.USAGE, "views are made of worlds alone"),
        (["--worlds", "cells", "--views", "2"], ExitCode.USAGE, "cells has no depth"),
        (["--worlds", "city", "--views", "1"], ExitCode.USAGE, "views is 1"),
        (["--worlds", "city", "--views", "2", "--preview", "a.png"], ExitCode.USAGE, "--preview shows pairs"),
        (["photos", "--size", "9"], ExitCode.USAGE, "size is 9"),
        (["photos", "--device", "tpu"], ExitCode.USAGE, "device 'tpu'"),
        (["photos", "-o", "full"], ExitCode.OUTPUT, "not empty"),
        (["photos", "-o", "photos/0.png"], ExitCode.OUTPUT, "is not a folder"),
        (["photos", "-o", "photos/0.png/x"], ExitCode.OUTPUT, "a file is in the way"),
        (["photos", "--preview", "full/notes.txt"], ExitCode.OUTPUT, "exists already"),
        (["photos", "--recipe", "bad.yaml"], ExitCode.USAGE, "line 1: unknown key 'cuont'"),
        (["photos", "--recipe", "harder.yaml"], ExitCode.USAGE, "line 1: difficulty: gap is 3"),
        (["--recipe", "views.yaml"], ExitCode.INPUT, "no scene with two posed views"),
        (["--recipe", "gone.yaml"], ExitCode.INPUT, "no such folder"),
    ],
)
def test_what_cannot_work_is_said_in_one_line_before_the_work(cli, photos, arguments, code, words):
    for name in ("empty", "broken", "full"):
        Path(name).mkdir()
    Path("broken/a.png").write_text("no")
    Path("full/notes.txt").write_text("mine")
    Path("bad.yaml").write_text("cuont: 3\n")
    Path("views.yaml").write_text("data: [{kind: multiview, folder: photos}]\n")
    Path("gone.yaml").write_text("data: [{kind: video, folder: gone}]\n")
    Path("harder.yaml").write_text("difficulty: {gap: 3}\n")
    before = sorted(Path().rglob("*"))
    result = cli("synth", *arguments)
    assert result.code == code, result.err
    assert words in result.err and result.err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


def test_posed_views_of_worlds_are_a_folder_to_make_pairs_from(cli, photos):
    words = ("--worlds", "indoor", "--views", "2", "--count", "1", "--size", "64", "--device", "cpu")
    planned = cli("synth", *words, "-o", "scenes", "--dry-run", "--json")
    assert planned.json["scenes"] == 1 and not Path("scenes").exists()
    made = cli("synth", *words, "-o", "scenes", "--json")
    assert made.code == ExitCode.OK and made.json["worlds"] == ["indoor"]
    assert sorted(path.name for path in Path("scenes").rglob("*.*")) == [
        "000.npy",
        "000.png",
        "001.npy",
        "001.png",
        "views.jsonl",
    ]
    again = cli("synth", *words, "-o", "scenes", "--json")
    assert (again.code, again.json["made_before"], again.json["scenes"]) == (ExitCode.OK, 1, 1)
    other = cli("synth", *words, "-o", "scenes", "--seed", "1")
    assert other.code == ExitCode.OUTPUT and "other settings" in other.err
    pairs = cli("synth", "scenes", *SMALL, "-o", "shards", "--json")
    assert pairs.json["pairs"] == 3 and pairs.json["data"][0]["kind"] == "multiview"


def write_spair(*names):
    """A folder of SPair-71k with a photograph, and pairs of it with files of these names."""
    images, annotations = Path("spair/JPEGImages/cat"), Path("spair/PairAnnotation/trn")
    for place in (images, annotations):
        place.mkdir(parents=True)
    cv2.imwrite(str(images / "a.png"), np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))
    for number, name in enumerate(names):
        pair = {"category": "cat", "src_imname": "a.png", "trg_imname": name, "src_kps": [[20, 30]]}
        pair |= {"trg_kps": [[9, 9]], "src_bndbox": [0, 0, 9, 9], "trg_bndbox": [0, 0, 9, 9]}
        (annotations / f"{number}-a-a:cat.json").write_text(json.dumps(pair))
    return images


def test_pairs_of_things_have_no_sensors_to_choose(cli, tmp_path, monkeypatch):
    """Drawn ones from a recipe, and photographs with keypoints from a folder of SPair-71k."""
    monkeypatch.chdir(tmp_path)
    write_spair("a.png")
    Path("r.yaml").write_text("data: [{kind: things}]\n")
    for words in (("--recipe", "r.yaml"), ("spair",)):
        made = cli("synth", *words, *SMALL, "-o", words[-1] + ".shards", "--json")
        assert made.code == ExitCode.OK and made.json["pairs"] == 3


def test_photographs_with_keypoints_are_read_once_and_told_when_they_cannot_be_used(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (write_spair("a.png", "cut.png") / "cut.png").write_bytes(b"")
    Path("r.yaml").write_text("shard_pairs: 1\nsize: 32\ncount: 4\ndata: [{kind: keypoints, folder: spair}]\n")
    read = []

    def reading(folder, read_training=spair.read_training):
        read.append(folder)
        return read_training(folder)

    monkeypatch.setattr(spair, "read_training", reading)
    made = cli("synth", "--recipe", "r.yaml", "-o", "out", "--device", "cpu", "--json")
    assert made.code == ExitCode.OK and made.json["shards"] == 4 and made.json["quarantined"] == 1
    (row,) = map(json.loads, Path("out/quarantine.jsonl").read_text().splitlines())
    assert row["path"].endswith("cut.png") and row["reason"] == "an empty file" and len(read) == 1


def test_a_full_disk_is_noticed_before_the_work(cli, photos, monkeypatch):
    usage = type("Usage", (), {"free": 10 * 2**20})()
    monkeypatch.setattr("xmatch.io.writing.atomic.shutil.disk_usage", lambda path: usage)
    result = cli("synth", "photos", "-o", "out", "--count", 1000, "--size", 512)
    assert result.code == ExitCode.OUTPUT and "10 MiB free" in result.err
    assert not Path("out").exists()


def test_an_earlier_run_is_replaced_only_when_told(cli, photos):
    assert cli("synth", "photos", "-o", "out", *SMALL).code == ExitCode.OK
    first = Path("out/pairs-000000.tar").read_bytes()
    refused = cli("synth", "photos", "-o", "out", *SMALL, "--seed", 1)
    assert refused.code == ExitCode.OUTPUT and "other settings (seed)" in refused.err
    assert Path("out/pairs-000000.tar").read_bytes() == first
    assert cli("synth", "photos", "-o", "out", *SMALL, "--seed", 1, "--overwrite").code == ExitCode.OK
    assert Path("out/pairs-000000.tar").read_bytes() != first


def test_a_dry_run_checks_and_writes_nothing(cli, photos):
    result = cli("synth", "photos", "-o", "out", *SMALL, "--dry-run", "--json")
    assert result.code == ExitCode.OK and result.json["dry_run"]
    assert (result.json["pairs"], result.json["shards"]) == (3, 1) and result.json["bytes"] > 0
    assert not Path("out").exists()
    assert cli("synth", "photos", "-o", "photos", *SMALL, "--dry-run").code == ExitCode.OUTPUT


def test_a_recipe_says_everything_and_the_command_line_wins(cli, photos):
    Path("recipes").mkdir()
    Path("recipes/r.yaml").write_text(
        "data:\n- {kind: singles, folder: ../photos, names: [curves]}\n- {kind: shapes, weight: 0.5, names: [edges]}\n"
        "count: 9\nsize: 32\nseed: 2\nshard_pairs: 2\nchannels: 3\ndifficulty: {max_angle_deg: 10}\n"
    )
    result = cli("synth", "--recipe", "recipes/r.yaml", "-o", "out", "--count", 4, "--device", "cpu", "--json")
    assert result.code == ExitCode.OK, result.err
    settings = read_manifest("out").settings
    assert (settings["count"], settings["seed"], settings["difficulty"]["max_angle_deg"]) == (4, 2, 10)
    assert result.json["shards"] == 2 and [spec["kind"] for spec in result.json["data"]] == ["singles", "shapes"]
    assert ShardReader("out/pairs-000001.tar")[0].fixed.shape == (32, 32, 3)


@pytest.mark.parametrize("path", sorted(ROOT.glob("recipes/synth-*.yaml")), ids=lambda p: p.name)
def test_every_recipe_that_is_shipped_is_valid(path):
    from xmatch.recipe import load_recipe
    from xmatch.synth.recipe import SynthRecipe

    assert load_recipe(path, SynthRecipe).count > 0


def test_aligned_pairs_and_shards_are_told_by_their_layout(cli, photos):
    sar = Path("real/optical-sar")
    sar.mkdir(parents=True)
    cv2.imwrite(str(sar / "x_a.png"), picture(7))
    cv2.imwrite(str(sar / "x_b.png"), 255 - picture(7)[..., 0])
    result = cli("synth", "real", "-o", "out", *SMALL, "--json")
    assert result.json["usable"] == {"pairs": 1}
    assert set(ShardReader("out/pairs-000000.tar")[0].facts["modalities"]) == {"optical", "sar"}
    again = cli("synth", "out", "-o", "out2", *SMALL, "--json")
    assert again.code == ExitCode.OK and again.json["data"][0]["kind"] == "shards"


def test_sixteen_bits_and_empty_borders_are_read_as_the_sensor_meant_them(tmp_path):
    import rasterio

    image = picture(3, dtype=np.uint16)[..., 0].copy()
    image[:20] = 0
    profile = {"driver": "GTiff", "width": 90, "height": 70, "count": 1, "dtype": "uint16", "nodata": 0}
    with rasterio.open(tmp_path / "scene.tif", "w", **profile, compress="deflate") as file:
        file.write(image[None])
    read = read_part(tmp_path / "scene.tif")
    assert read.dtype == np.uint8 and read.shape[0] <= 50 and read.max() > 240
    assert np.corrcoef(read.ravel(), image[-read.shape[0] :, : read.shape[1]].ravel())[0, 1] > 0.95


def test_a_large_scene_falls_into_windows(tmp_path, monkeypatch):
    monkeypatch.setattr("xmatch.cli.image_files.WINDOW_PX", 32)
    path = tmp_path / "scene.png"
    cv2.imwrite(str(path), picture(1, height=80, width=130))
    parts = parts_of(path, longest_px=32)
    assert len(parts) == 8 and all(isinstance(part, FilePart) for part in parts)
    assert sum(part.window[2] * part.window[3] for part in parts) == 80 * 130
    assert read_part(parts[-1]).shape[:2] == parts[-1].window[3:1:-1]
    assert parts_of(path, longest_px=128) == (path,), "windows are not smaller than what is kept of them"
    with pytest.raises(InputError):
        parts_of(tmp_path / "none.png")


def test_the_largest_valid_rectangle_is_found():
    valid = np.zeros((30, 40), bool)
    valid[3:20, 5:35] = True
    valid[10, 10] = False
    assert largest_valid(valid) == (3, 11, 20, 35)
    assert largest_valid(np.ones((5, 7), bool)) == (0, 0, 5, 7)
    assert largest_valid(np.zeros((5, 7), bool)) == (0, 0, 0, 0)


def test_ctrl_c_leaves_complete_shards_and_the_next_run_goes_on(photos, cli, tmp_path):
    (tmp_path / "r.yaml").write_text("shard_pairs: 1\nsize: 64\ncount: 400\nmodalities: [curves]\n")
    words = ["synth", "photos", "-o", "out", "--recipe", "r.yaml", "--device", "cpu"]
    code = "import sys; from xmatch.cli import main; main(sys.argv[1:])"
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen([sys.executable, "-c", code, *words], cwd=tmp_path, env=env, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while len(list(Path("out").glob("*.tar"))) < 2 and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == ExitCode.INTERRUPTED, said
    shards = read_manifest("out").shards
    assert 1 <= len(shards) < 400
    assert not [path for path in Path("out").iterdir() if "tmp" in path.name]
    kept = {shard.name: Path("out", shard.name).stat().st_mtime_ns for shard in shards}
    assert cli(*words, "--count", 400, "--dry-run").code == ExitCode.OK
    assert {name: Path("out", name).stat().st_mtime_ns for name in kept} == kept


def test_no_shard_is_made_once_the_list_cannot_be_written(cli, photos, monkeypatch):
    """Whoever else may hold what makes them, it has ended."""
    makers = []

    def full_disk(folder, done, making):
        makers.append(making)
        next(iter(making))
        raise OutputError("no space left", path=folder)

    monkeypatch.setattr(shards, "write_shards", full_disk)
    Path("r.yaml").write_text(SHARDS_OF_ONE)
    assert cli("synth", "photos", "--recipe", "r.yaml", "-o", "out", "--device", "cpu").code == ExitCode.OUTPUT
    assert inspect.getgeneratorstate(makers[0]) == inspect.GEN_CLOSED


# Several processes


SHARDS_OF_ONE = "shard_pairs: 1\nsize: 32\ncount: 4\nmodalities: [curves, sar]\n"


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


@pytest.mark.timeout(300)
def test_two_workers_write_what_one_writes_and_what_was_stopped_goes_on(cli, photos):
    Path("r.yaml").write_text(SHARDS_OF_ONE)
    (photos / "text.jpg").write_text("not an image")
    words = ("synth", "photos", "--recipe", "r.yaml", "--device", "cpu", "--json")
    assert cli(*words, "-o", "one").code == ExitCode.OK
    shutil.copytree("one", "two")
    header, *rows = Path("two/manifest.jsonl").read_text().splitlines(True)
    Path("two/manifest.jsonl").write_text(header + rows[2])  # the third was the first to be there
    for number in (0, 1, 3):
        Path(f"two/pairs-00000{number}.tar").unlink()
    kept = Path("two/pairs-000002.tar").stat().st_mtime_ns
    result = cli(*words, "-o", "two", "--jobs", "2")
    assert result.code == ExitCode.OK, result.err
    assert (result.json["made_before"], result.json["pairs"], result.json["quarantined"]) == (1, 4, 1)
    assert contents("two") == contents("one") and Path("two/pairs-000002.tar").stat().st_mtime_ns == kept


@pytest.mark.timeout(300)
def test_a_cluster_of_which_one_worker_is_killed_writes_what_one_process_writes(
    cli, photos, start_cluster, monkeypatch
):
    cluster = start_cluster(1)
    Path("r.yaml").write_text(SHARDS_OF_ONE)
    words = ("synth", "photos", "--recipe", "r.yaml", "--device", "cpu")
    assert cli(*words, "-o", "one").code == ExitCode.OK

    def list_and_kill(folder, manifest, write=shards.write_manifest):
        if manifest.shards:
            cluster.workers[0].kill()
        write(folder, manifest)

    monkeypatch.setattr(shards, "write_manifest", list_and_kill)
    assert cli(*words, "-o", "dask", "--cluster", cluster.address).code == ExitCode.OK
    assert contents("dask") == contents("one")


def test_a_shard_leaves_the_threads_of_its_worker_as_they_were(photos):
    """A worker of Dask may be somebody else's."""
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(2), torch.set_num_threads(2)
    try:
        data = (SourceSpec("shapes", names=("curves",)),)
        synth_work.make_shard(synth_work.ShardItem(Path(), shards.Plan(1, 32), 0, data, LoadOptions("cpu")))
        assert (cv2.getNumThreads(), torch.get_num_threads()) == (2, 2)
    finally:
        cv2.setNumThreads(before[0]), torch.set_num_threads(before[1])


@pytest.mark.timeout(300)
def test_scenes_of_two_workers_are_those_of_one(cli, photos):
    words = ("synth", "--worlds", "indoor,land", "--views", "2", "--count", "2", "--size", "32")
    assert cli(*words, "-o", "one").code == cli(*words, "-o", "two", "--jobs", "2").code == ExitCode.OK
    for path in Path("one").rglob("*.*"):
        assert path.read_bytes() == Path("two", *path.parts[1:]).read_bytes()


def test_two_runs_into_one_folder_are_one_too_many(cli, photos):
    with held(Path("out/pairs"), "held"):
        result = cli("synth", "photos", "-o", "out", *SMALL)
    assert result.code == ExitCode.OUTPUT and "another run is making pairs" in result.err


# Learned modalities


class Inverted:
    """Stands for a published network; tests/synth/learned runs the real architectures."""

    name, licence = "depth", "apache-2.0"

    def __call__(self, image, rng):
        return 1 - image


def test_learned_modalities_are_named_on_the_command_line(cli, photos, monkeypatch):
    asked = []
    monkeypatch.setitem(registry.LEARNED, "depth", lambda request: asked.append(request) or Inverted())
    named = ("--size", "32", "--count", "3", "--device", "cpu", "--modalities", "learned:depth=photos")
    result = cli("synth", "photos", "-o", "out", *named, "--json")
    assert result.code == ExitCode.OK, result.err
    # Loaded once for the whole run; a folder is told from a name on the hub by being there.
    assert [(r.weights, r.local_files_only) for r in asked] == [(str(photos), True)]
    assert result.json["data"][0]["names"] == [{"learned": "depth", "weights": str(photos)}]
    assert read_manifest("out").settings["licences"] == {"learned:depth": "apache-2.0"}
    pairs = [set(sample.facts["modalities"]) for sample in ShardReader("out/pairs-000000.tar")]
    assert all(pair <= {"visible", "learned:depth"} for pair in pairs)


def test_a_recipe_names_learned_modalities_and_downloads_want_leave(cli, photos, monkeypatch):
    asked = []
    monkeypatch.setitem(registry.LEARNED, "depth", lambda request: asked.append(request) or Inverted())
    Path("r.yaml").write_text("modalities: [sar, {learned: depth, weights: some/hub-name, name: far}]\n")
    result = cli("synth", "photos", "--recipe", "r.yaml", "--device", "cpu", "--allow-download", "--dry-run", "--json")
    assert result.code == ExitCode.OK, result.err
    assert [(r.weights, r.local_files_only) for r in asked] == [("some/hub-name", False)]
    assert result.json["data"][0]["names"][1]["name"] == "far"


@pytest.mark.parametrize(
    "options",
    [
        ("--modalities", "learned:x-ray"),
        ("--modalities", "learned:"),
        ("--modalities", "learned:depth", "--offline", "--allow-download"),
    ],
)
def test_learned_modalities_that_make_no_sense_are_usage_errors(cli, photos, options):
    assert cli("synth", "photos", "--device", "cpu", *options).code == ExitCode.USAGE
