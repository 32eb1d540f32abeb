"""Pairs registered in processes of their own: the same files as by one, and a death is a pair's."""

import json
from pathlib import Path

import cv2
import dying
import numpy as np
import pytest
import rasterio

from xmatch.cli import batch as batches
from xmatch.cli.workers import Workers
from xmatch.workers.lost import Lost

pytestmark = pytest.mark.timeout(300)  # processes that start take long where others want the cores

SIFT = ("--matcher", "sift", "--ignore-georef", "--transform", "similarity")
"""Quick, and good enough for cuts from one image."""


@pytest.fixture
def cuts(tmp_path, monkeypatch):
    """fixed.tif and a.tif, b.tif, c.tif: georeferenced cuts, 128 px, from one texture."""
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).normal(size=(200, 200))
    texture = sum(cv2.GaussianBlur(noise, None, sigma) * sigma for sigma in (1, 2, 4)) * 3000 + 20000
    for name, (x, y) in {"fixed": (0, 0), "a": (10, 6), "b": (4, 18), "c": (15, 15)}.items():
        place = rasterio.Affine(10, 0, 600000 + 10 * x, 0, -10, 5200000 - 10 * y)
        profile = {"driver": "GTiff", "width": 128, "height": 128, "count": 1, "dtype": "uint16", "crs": "EPSG:32633"}
        with rasterio.open(f"{name}.tif", "w", transform=place, **profile) as file:
            file.write(texture[y : y + 128, x : x + 128].astype(np.uint16), 1)
    Path("list.csv").write_text("fixed.tif,a.tif\nfixed.tif,b.tif\n")


def batch(cli, *more):
    return cli("register", "--pairs", "list.csv", *SIFT, *more)


def by_index(result) -> list[dict]:
    return sorted(map(json.loads, result.out.splitlines()), key=lambda line: line["index"])


def same_results(one, two) -> bool:
    """Transforms and rasters to the last bit."""
    pairs = list(zip(by_index(one), by_index(two), strict=True))
    return one.code == two.code == 0 and all(
        alone["transform"] == beside["transform"]
        and Path(alone["output"]).read_bytes() == Path(beside["output"]).read_bytes()
        for alone, beside in pairs
    )


def test_two_workers_write_what_one_writes(cli, cuts):
    one, two = batch(cli, "-o", "one"), batch(cli, "-o", "two", "--jobs", "2")
    assert same_results(one, two)
    page = Path("two/list.overview.html").read_text()
    assert page.count("data:image/jpeg") == 4 and page.count('class="outline is-trusted"') == 2


def test_a_cluster_of_which_one_worker_is_killed_writes_what_one_process_writes(cli, cuts, start_cluster, monkeypatch):
    cluster = start_cluster(1)
    Path("list.csv").write_text("fixed.tif,a.tif\nfixed.tif,b.tif\nfixed.tif,c.tif\n")
    one = batch(cli, "-o", "one")

    def emit_and_kill(line, emit=batches.emit):
        cluster.workers[0].kill()
        emit(line)

    monkeypatch.setattr(batches, "emit", emit_and_kill)
    assert same_results(one, batch(cli, "-o", "dask", "--cluster", cluster.address))


def test_a_worker_that_is_killed_costs_its_pair_only(cli, cuts, behave, monkeypatch):
    monkeypatch.setattr("xmatch.cli.batch.register_listed", dying.dies_of_b)
    result = batch(cli, "--jobs", "2", "--keep-going")
    assert result.code == 8
    assert [line["exit_code"] for line in by_index(result)] == [0, 7]
    assert "process that registered it died" in by_index(result)[1]["error"]["message"]
    monkeypatch.setattr("xmatch.cli.batch.register_listed", dying.register_listed)
    again = batch(cli)
    assert [(line["skipped"], line["exit_code"]) for line in by_index(again)] == [(True, 0), (False, 0)]


def test_a_pair_that_takes_longer_than_its_time_is_a_failed_one(cli, cuts, behave, monkeypatch):
    """tests/workers says how it is told; here, what the batch makes of it."""
    asked = []

    def run(workers, work, items, threads, limit_s):
        asked.append(limit_s)
        for item in items:
            yield item, Lost.OVERDUE if item.row.moving.endswith("b.tif") else dying.finds_at_once(item)

    monkeypatch.setattr(Workers, "run", run)
    result = batch(cli, "--time-limit", "15", "--keep-going", "--jobs", "2")
    assert (asked, result.code) == ([15], 8)
    assert [line["exit_code"] for line in by_index(result)] == [0, 7]
    assert by_index(result)[1]["error"]["message"] == "it was not done after 15 s"
    assert Path("a.registered.tif").exists()


def test_a_cluster_that_went_away_ends_the_batch_with_what_was_done(cli, cuts, start_cluster, behave, monkeypatch):
    cluster = start_cluster(0)

    def emit_and_kill(line, emit=batches.emit):
        cluster.scheduler.kill()
        emit(line)

    monkeypatch.setattr(batches, "register_listed", dying.finds_at_once)
    monkeypatch.setattr(batches, "emit", emit_and_kill)
    Path("list.csv").write_text("".join(f"fixed.tif,a.tif,{n}.tif\n" for n in range(9)))
    result = batch(cli, "--cluster", cluster.address)
    assert result.code == 7 and "went away" in result.err
    done = len(by_index(result))
    assert 0 < done < 9 and f"9 pairs: {done} trusted, {9 - done} not tried" in result.err
