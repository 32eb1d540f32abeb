"""MATCHA's ablation as one recipe: three tasks, a table for each kind of pairs, by the small network of the package."""

from __future__ import annotations

import json
import pickle

import cv2
import numpy as np
from made_features import texture

from xmatch.cli import eval_run
from xmatch.datasets import scannet, tapvid
from xmatch.errors import ExitCode

SIDE, SHIFT = 128, 16

RECIPE_OF_THREE = """
dataset:
  - {name: spair-71k, folder: SPair-71k}
  - {name: tapvid-davis, folder: tapvid_davis}
  - {name: hpatches, folder: hpatches}
  - {name: scannet-1500, folder: scannet}
matchers: ["feature:matcha-small-unfused", "feature:matcha-small-light", "feature:matcha-small"]
controls: false
"""


def picture(shift: int = 0) -> np.ndarray:
    return np.roll((255 * texture(SIDE, SIDE)).astype(np.uint8), shift, 1)


def write_sets(folder):
    """Of each kind a texture against itself moved to the right."""
    images = folder / "SPair-71k" / "JPEGImages" / "cat"
    annotations = folder / "SPair-71k" / "PairAnnotation" / "test"
    for place in (images, annotations, folder / "tapvid_davis", folder / "hpatches" / "v_still", folder / "scannet"):
        place.mkdir(parents=True)
    cv2.imwrite(str(images / "a.png"), picture())
    cv2.imwrite(str(images / "b.png"), picture(SHIFT))
    pair = {"category": "cat", "src_imname": "a.png", "trg_imname": "b.png", "src_kps": [[36, 60], [68, 76]]}
    pair |= {"trg_kps": [[36 + SHIFT, 60], [68 + SHIFT, 76]]}
    pair |= {f"{side}_bndbox": [0, 0, 99, 99] for side in ("src", "trg")}
    (annotations / "0-a-b:cat.json").write_text(json.dumps(pair))
    points = np.array([[[60.0, 60], [60 + SHIFT, 60]], [[90, 70], [90 + SHIFT, 70]]]) / SIDE
    film = {"video": np.stack([picture(), picture(SHIFT)]), "points": points, "occluded": np.zeros((2, 2), bool)}
    (folder / "tapvid_davis" / tapvid.FILE).write_bytes(pickle.dumps({"goat": film}))
    for k in range(1, 7):
        cv2.imwrite(str(folder / "hpatches" / "v_still" / f"{k}.ppm"), picture(SHIFT if k > 1 else 0))
        np.savetxt(folder / "hpatches" / "v_still" / f"H_1_{k}", np.array([[1.0, 0, SHIFT], [0, 1, 0], [0, 0, 1]]))
    numbers = [*np.diag([100.0, 100.0, 1.0]).ravel()] * 2 + [*np.eye(4).ravel()]
    for k in (0, 1):
        cv2.imwrite(str(folder / "scannet" / f"{k}.png"), picture(SHIFT * k))
    (folder / "scannet" / scannet.LIST).write_text(f"0.png 1.png 0 0 {' '.join(map(str, numbers))}\n")


def test_one_recipe_measures_all_tasks_with_a_table_for_each(cli, tmp_path, monkeypatch):
    """By the small network of the package, its parts as rows."""
    monkeypatch.chdir(tmp_path)
    write_sets(tmp_path)
    (tmp_path / "ablation.yaml").write_text(RECIPE_OF_THREE)
    done = cli("eval", "ablation.yaml", "--json", "--no-pictures", "--limit", "1", "-o", "found.json")
    assert done.code == 0 and done.json["schema"] == "xmatch.evaluations/1" and done.json["ok"]
    kinds = {"semantic": "pck_box_per_image", "registration": "mma", "pose": "auc"}
    for kind in ("semantic", "tracking", "registration", "pose"):
        document = json.loads((tmp_path / f"found.{kind}.json").read_text())
        assert document["kind"] == kind and list(document["matchers"]) == [
            "feature:matcha-small-unfused",
            "feature:matcha-small-light",
            "feature:matcha-small",
        ]
        assert (tmp_path / f"found.{kind}.md").is_file() and done.json[kind]["matchers"] == document["matchers"]
        for part in document["matchers"].values():
            assert kinds.get(kind, "average_jaccard") in part["mean"]
    assert done.json["registration"]["matchers"]["feature:matcha-small"]["mean"]["mma"]["10"] > 30


def test_a_data_set_that_lacks_is_said_before_any_pair_is_run(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_sets(tmp_path)
    (tmp_path / "scannet" / scannet.LIST).unlink()
    (tmp_path / "ablation.yaml").write_text(RECIPE_OF_THREE)
    assert cli("eval", "ablation.yaml").code == 3 and not list(tmp_path.glob("*.jsonl"))


RECIPE_OF_TWO = """
dataset:
  - {name: spair-71k, folder: SPair-71k}
  - {name: hpatches, folder: hpatches}
matchers: ["feature:matcha-small"]
controls: false
"""


def test_what_was_stopped_in_the_second_kind_goes_on_there(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_sets(tmp_path)
    (tmp_path / "two.yaml").write_text(RECIPE_OF_TWO)
    line = ("eval", "two.yaml", "--no-pictures", "--limit", "1", "-o", "found.json")
    predict = eval_run.predict

    def stopped_at_the_second(tasks, *args, **named):
        if tasks[0].kind == "registration":
            raise KeyboardInterrupt
        predict(tasks, *args, **named)

    monkeypatch.setattr(eval_run, "predict", stopped_at_the_second)
    assert cli(*line).code == ExitCode.INTERRUPTED
    (kept,) = tmp_path.glob("found.semantic.*.predictions.jsonl")
    before = [row for row in kept.read_text().splitlines() if '"id"' in row]
    monkeypatch.setattr(eval_run, "predict", predict)
    done = cli(*line)
    assert done.code == ExitCode.OK, done.err
    assert [row for row in kept.read_text().splitlines() if '"id"' in row] == before and len(before) == 1
    assert (tmp_path / "found.semantic.json").is_file() and (tmp_path / "found.registration.json").is_file()
