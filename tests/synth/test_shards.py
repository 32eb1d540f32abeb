"""Shards hold what was drawn, whole or not at all, and a run that was stopped ends as one that was not."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from xmatch.errors import InputError, OutputError
from xmatch.io.writing import atomic
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.manifest import Manifest, read_manifest, write_quarantine
from xmatch.synth.mixture import Mixture
from xmatch.synth.pairs import draw_pairs
from xmatch.synth.samples import decode, encode
from xmatch.synth.seeds import device_rng
from xmatch.synth.shard_reader import ShardReader
from xmatch.synth.shards import Plan, missing, resume, write_shard, write_shards
from xmatch.synth.sources import Sensors, Shapes, Shards
from xmatch.synth.sources.aligned import Aligned, everywhere

PLAN = Plan(count=5, size=32, shard_pairs=2, seed=3)


def build():
    return Mixture([Shapes(Sensors(["curves"]))])


def written(folder, plan=PLAN):
    done = resume(folder, plan)
    return write_shards(folder, done, (write_shard(folder, plan, number, build()) for number in missing(plan, done)))


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def pairs():
    return draw_pairs(build(), 12, 48, device_rng("cpu", 1), Difficulty.FULL)


def test_a_shard_is_a_tar_of_webdataset_samples(tmp_path):
    manifest = written(tmp_path)
    assert [shard.count for shard in manifest.shards] == [2, 2, 1]
    with tarfile.open(tmp_path / "pairs-000001.tar") as tar:
        names = tar.getnames()
        assert all(member.mtime == 0 for member in tar)
    assert {name.partition(".")[0] for name in names} == {"000000002", "000000003"}
    endings = {name.partition(".")[2] for name in names} - {"warp.npz"}
    assert endings == {"fixed.png", "moving.png", "fixed_valid.png", "moving_valid.png", "covisible.png", "json"}


def test_webdataset_reads_them(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    written(tmp_path)
    urls = [str(tmp_path / f"pairs-00000{n}.tar") for n in range(3)]
    rows = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False))
    assert [row["__key__"] for row in rows] == [f"00000000{n}" for n in range(5)]
    assert json.loads(rows[0]["json"])["pixel_origin"] == "corner"


def test_what_is_read_back_is_what_was_drawn(pairs):
    size = pairs.fixed.shape[-1]
    kinds = set()
    for number in range(len(pairs)):
        files = encode(pairs, number, {})
        sample = decode(files, "test")
        kinds.add("warp.npz" in files)
        assert np.abs(sample.fixed / 255 - pairs.fixed[number, 0].numpy()).max() <= 0.5 / 255 + 1e-6
        assert (sample.moving_valid == pairs.moving_valid[number, 0].numpy()).all()
        seen = pairs.covisible[number].numpy()
        assert (sample.covisible == seen).all()
        truth_px = (pairs.warp[number].numpy() + 1) * size / 2
        assert np.abs(sample.moving_xy - truth_px)[seen].max() < 0.02
    assert kinds == {True, False}, "bent pairs carry their warp, the others a matrix"


def test_the_matrix_maps_moving_to_fixed_in_px(pairs):
    number = int(np.flatnonzero(np.isfinite(pairs.matrices).all(axis=(1, 2)))[0])
    matrix = np.array(json.loads(encode(pairs, number, {})["json"])["moving_to_fixed"])
    y, x = np.argwhere(pairs.covisible[number].numpy())[0]
    in_moving = (pairs.warp[number, y, x].numpy() + 1) * 24
    back = matrix @ [*in_moving, 1]
    assert back[:2] / back[2] == pytest.approx([x + 0.5, y + 0.5], abs=0.01)


def test_colours_come_back_in_their_order():
    red = torch.zeros(1, 3, 48, 48)
    red[:, 0] = 1.0
    valid = everywhere(red)

    class Red:
        def draw(self, count, size, rng, difficulty):
            return Aligned(red, red, valid, valid, (("a", "b"),), ("red",))

    drawn = draw_pairs(Mixture([Red()]), 1, 32, device_rng("cpu", 1), Difficulty.EASY, channels=3)
    fixed = decode(encode(drawn, 0, {}), "test").fixed.astype(int)
    assert fixed.shape == (32, 32, 3)
    assert (fixed[..., 0] > fixed[..., 1] + 50).all() and (fixed[..., 1] == fixed[..., 2]).all()


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    written(tmp_path / "a"), written(tmp_path / "b")
    written(tmp_path / "c", replace(PLAN, seed=4))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a")["pairs-000000.tar"] != contents(tmp_path / "c")["pairs-000000.tar"]


def test_a_shard_is_made_on_one_core_and_leaves_the_others_to_what_follows(tmp_path):
    """Sums of several are rounded otherwise: pairs of 512 px were other bytes."""
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        write_shard(tmp_path, PLAN, 0, build(), progress=lambda _: seen.append(torch.get_num_threads()))
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("after", range(6))
def test_a_run_that_was_stopped_goes_on_and_ends_the_same(tmp_path, monkeypatch, fault, after):
    whole, folder = tmp_path / "whole", tmp_path / "stopped"
    written(whole)
    steps = iter(range(100))

    def stop(name):
        if name in ("block", "rename") and next(steps) == after:
            raise fault

    monkeypatch.setattr(atomic, "step", stop)
    monkeypatch.setattr("xmatch.synth.shards.step", stop)
    with pytest.raises((KeyboardInterrupt, OutputError)):
        written(folder)
    monkeypatch.undo()
    assert not [path for path in folder.iterdir() if "tmp" in path.name], "nothing half-written stays"
    for path in folder.glob("*.tar"):
        assert path.read_bytes() == (whole / path.name).read_bytes()
    written(folder)
    assert contents(folder) == contents(whole)


def test_a_shard_that_went_missing_is_made_again(tmp_path):
    written(tmp_path)
    before = contents(tmp_path)
    (tmp_path / "pairs-000001.tar").unlink()
    written(tmp_path)
    assert contents(tmp_path) == before


def test_shards_may_come_in_any_order(tmp_path):
    written(tmp_path / "in-order")
    folder = tmp_path / "out-of-order"
    done = resume(folder, PLAN)
    done = write_shards(folder, done, [write_shard(folder, PLAN, 2, build())])
    assert missing(PLAN, resume(folder, PLAN)) == [0, 1]
    write_shards(folder, done, (write_shard(folder, PLAN, number, build()) for number in (1, 0)))
    assert contents(folder) == contents(tmp_path / "in-order")


def test_other_settings_do_not_mix_with_what_is_there(tmp_path):
    written(tmp_path)
    with pytest.raises(OutputError, match=r"other settings \(seed\)"):
        resume(tmp_path, replace(PLAN, seed=9))
    assert resume(tmp_path, replace(PLAN, seed=9), overwrite=True, dry_run=True).shards == ()
    assert (tmp_path / "pairs-000000.tar").exists()
    assert resume(tmp_path, replace(PLAN, seed=9), overwrite=True).shards == ()
    assert contents(tmp_path) == {}


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="not empty"):
            resume(tmp_path, PLAN, overwrite)


def test_a_damaged_manifest_is_named(tmp_path):
    written(tmp_path)
    (tmp_path / "manifest.jsonl").write_text("{broken")
    with pytest.raises(InputError, match="damaged manifest"):
        read_manifest(tmp_path)
    with pytest.raises(OutputError, match="damaged manifest"):
        resume(tmp_path, PLAN)
    assert resume(tmp_path, PLAN, overwrite=True) == Manifest(PLAN.as_settings())


def test_a_damaged_shard_is_named(tmp_path):
    written(tmp_path)
    path = tmp_path / "pairs-000000.tar"
    path.write_bytes(b"junk" * 500)
    with pytest.raises(InputError, match="not a readable shard"):
        ShardReader(path)


def test_the_quarantine_keeps_what_it_has(tmp_path):
    assert write_quarantine(tmp_path, {}) == 0
    assert not list(tmp_path.iterdir())
    write_quarantine(tmp_path, {"b.jpg": "flat"})
    assert write_quarantine(tmp_path, {"a.jpg": "empty"}) == 2
    rows = [json.loads(line) for line in (tmp_path / "quarantine.jsonl").read_text().splitlines()]
    assert rows == [{"path": "a.jpg", "reason": "empty"}, {"path": "b.jpg", "reason": "flat"}]


def test_stored_pairs_are_a_source_with_their_warp(tmp_path):
    """Coordinates as grey levels, stored, drawn again and looked at from a new side: still the same place."""
    written(tmp_path, replace(PLAN, size=64))
    rng = device_rng("cpu", 5)
    drawn = Shards(tmp_path).draw(8, 48, rng, Difficulty.FULL)
    assert drawn.first.shape == (8, 1, 48, 48) and drawn.flow.shape == (8, 48, 48, 2)
    assert drawn.covisible.float().mean() > 0.3
    sample = ShardReader(tmp_path / "pairs-000000.tar")[0]
    number = next(i for i in range(8) if np.allclose(drawn.first[i, 0], small(sample.fixed), atol=1e-6))
    # At 48 of 64 px, the centre of px (12, 12) lies at 16 2/3 of the stored image, between centres 16 and 17 there.
    expected = sample.moving_xy[16, 16] * (1 / 3 + 0.5) + sample.moving_xy[17, 17] * (2 / 3 - 0.5)
    found_px = (drawn.flow[number, 12, 12].numpy() + 1) * 32
    assert found_px == pytest.approx(expected, abs=0.1)


def test_stored_pairs_without_a_gap_show_one_sensor(tmp_path):
    written(tmp_path)
    drawn = Shards(tmp_path).draw(4, 32, device_rng("cpu", 5), Difficulty.EASY)
    assert torch.equal(drawn.first, drawn.second)
    assert all(first == second for first, second in drawn.names)
    assert (drawn.flow[0, 3, 5] - torch.tensor([5.5 / 16 - 1, 3.5 / 16 - 1])).abs().max() < 1e-6


def test_no_shards_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no shards here"):
        Shards(tmp_path)


def small(image):
    return cv2.resize(np.ascontiguousarray(image), (48, 48), interpolation=cv2.INTER_AREA) / 255
