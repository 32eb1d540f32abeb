"""Sources: what they draw comes from where it should, and damaged files are passed over."""

from __future__ import annotations

import json
from collections import Counter

import cv2
import numpy as np
import pytest
import torch

from xmatch.errors import InputError, UsageError
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.layouts import kind_of
from xmatch.synth.modalities import MODALITIES
from xmatch.synth.recipe import SourceSpec, build_mixture
from xmatch.synth.seeds import device_rng, host_rng
from xmatch.synth.sources import AlignedPairs, Images, Sensors, Shapes, Singles, Worlds
from xmatch.synth.sources.aligned_pairs import find_pairs
from xmatch.synth.sources.files import LONGEST_SIDE_PX, decode, list_images, prepared
from xmatch.synth.sources.sensors import draw_names, name_pairs
from xmatch.synth.sources.worlds import MadeHere

FULL, EASY = Difficulty.FULL, Difficulty.EASY
HALF = Difficulty(gap=0.5)


def texture(seed, height=60, width=80, channels=3):
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.integers(0, 255, (6, 8, channels), dtype=np.uint8), (width, height))


@pytest.fixture
def folder(tmp_path):
    for n in range(4):
        cv2.imwrite(str(tmp_path / f"{n}.png"), texture(n))
    return tmp_path


class Recorder:
    """Stands in for a modality and counts its calls."""

    def __init__(self, level):
        self.level, self.sizes = level, []

    def __call__(self, image, rng):
        self.sizes.append(len(image))
        return torch.full_like(image[:, :1], self.level)


def recorded(names, across=False):
    sensors = Sensors(names, across)
    recorders = {name: Recorder(n / 10) for n, name in enumerate(sorted(sensors._modalities))}
    sensors._modalities = recorders
    return sensors, recorders


# Sensors


def test_pairs_are_those_of_minima_or_all():
    assert name_pairs(["sar", "map", "sar"], across=False) == (("visible", "sar"), ("visible", "map"))
    assert name_pairs(["sar", "map", "nir"], across=True) == (("sar", "map"), ("sar", "nir"), ("map", "nir"))
    assert name_pairs(["sar"], across=True) == (("sar", "sar"),)
    with pytest.raises(ValueError):
        name_pairs([], across=False)


def test_pairs_are_drawn_evenly_in_both_orders():
    names, same = draw_names(name_pairs(["sar", "map"], False), 4000, np.random.default_rng(0), gap=1.0)
    counts = Counter(names)
    assert not same.any() and len(counts) == 4
    assert all(900 < count < 1100 for count in counts.values())


def test_the_gap_is_the_share_of_pairs_with_two_sensors():
    names, same = draw_names(name_pairs(["sar", "map"], False), 2000, np.random.default_rng(0), gap=0.3)
    assert 0.25 < np.mean([a != b for a, b in names]) < 0.35
    assert all(a == b for (a, b), single in zip(names, same, strict=True) if single)


def test_every_generator_is_called_once_with_all_that_it_sees():
    sensors, recorders = recorded(["sar", "map"])
    rng = device_rng("cpu", 0)
    first, second, names = sensors.see(torch.rand(32, 3, 16, 16), rng, host_rng(rng), 1.0)
    assert all(len(recorder.sizes) == 1 for recorder in recorders.values())
    assert sum(recorder.sizes[0] for recorder in recorders.values()) == 64
    for one, two, (a, b) in zip(first, second, names, strict=True):
        assert one.mean() == pytest.approx(recorders[a].level) and two.mean() == pytest.approx(recorders[b].level)


def test_without_a_gap_both_sides_are_one_image():
    rng = device_rng("cpu", 0)
    first, second, names = Sensors(["sar", "curves"]).see(torch.rand(8, 3, 32, 32), rng, host_rng(rng), 0.0)
    assert torch.equal(first, second) and all(a == b for a, b in names)


def test_on_the_way_the_second_is_a_blend():
    sensors, recorders = recorded(["sar"])
    rng = device_rng("cpu", 0)
    first, second, names = sensors.see(torch.rand(64, 1, 8, 8), rng, host_rng(rng), 0.5)
    apart = (first - second).abs().mean((1, 2, 3))
    differ = torch.tensor([a != b for a, b in names])
    assert (apart[~differ] == 0).all() and (apart[differ] >= 0.049).all() and apart[differ].max() <= 0.1 + 1e-6
    assert apart[differ].std() > 0.005


def test_two_views_are_each_seen_by_their_sensor():
    sensors, recorders = recorded(["sar"])
    rng = device_rng("cpu", 0)
    first, second, names = sensors.see_views(
        torch.rand(8, 3, 8, 8), torch.rand(8, 1, 8, 8).expand(-1, 3, -1, -1), rng, host_rng(rng), 1.0
    )
    assert {tuple(sorted(pair)) for pair in names} == {("sar", "visible")}
    assert [recorder.sizes for recorder in recorders.values()] == [[8], [8]]


def test_an_unknown_modality_names_the_known_ones():
    with pytest.raises(UsageError, match="no modality 'xray'") as caught:
        Sensors(["xray"])
    assert "infrared" in caught.value.hint


@pytest.mark.parametrize("name", MODALITIES)
def test_every_modality_can_be_drawn(name):
    drawn = Shapes(Sensors([name])).draw(2, 32, device_rng("cpu", 0), FULL)
    assert drawn.first.shape[-2:] == (32, 32) and drawn.first.isfinite().all() and drawn.second.isfinite().all()


# Files


def test_images_are_found_below_a_folder_in_order(folder):
    (folder / "deep").mkdir()
    cv2.imwrite(str(folder / "deep" / "A.JPG"), texture(9))
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("")
    assert [path.name for path in list_images(folder)] == ["0.png", "1.png", "2.png", "3.png", "A.JPG"]
    assert list_images(folder / "0.png") == [folder / "0.png"]


@pytest.mark.parametrize("name, words", [("none", "no such folder"), ("empty", "no images"), ("notes.txt", "neither")])
def test_folders_without_images_say_so(tmp_path, name, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(InputError, match=words):
        list_images(tmp_path / name)


def test_images_are_decoded_small_and_red_first(tmp_path):
    blue = texture(0, 700, 1400)
    blue[..., 1:] //= 4
    cv2.imwrite(str(tmp_path / "a.png"), blue)
    image = decode(tmp_path / "a.png")
    assert image.shape == (LONGEST_SIDE_PX // 2, LONGEST_SIDE_PX, 3) and image.dtype == np.uint8
    assert image[..., 2].mean() > 2 * image[..., 0].mean()


def test_grey_images_stay_grey_and_deep_ones_are_stretched(tmp_path):
    deep = texture(0, channels=1).astype(np.uint16) * 10 + 30000
    cv2.imwrite(str(tmp_path / "a.png"), deep)
    image = decode(tmp_path / "a.png")
    assert image.ndim == 2 and image.dtype == np.uint8 and image.min() == 0 and image.max() == 255
    same = np.repeat(texture(1, channels=1)[..., None], 3, -1)
    assert prepared(same, "x").ndim == 2


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "empty file"),
        (b"text", "OpenCV can decode"),
        ("tiny", "too small"),
        ("flat", "flat"),
        (None, "cannot be read"),
    ],
)
def test_unusable_files_say_why(tmp_path, content, words):
    path = tmp_path / "a.png"
    if content == "tiny":
        cv2.imwrite(str(path), texture(0)[:9])
    elif content == "flat":
        cv2.imwrite(str(path), np.full((64, 64), 9, np.uint8))
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        decode(path)


def test_the_cache_is_bounded_and_forgets_what_was_not_used_for_longest(folder):
    reads = []

    def read(path):
        reads.append(path.name)
        return decode(path)

    images = Images(decode=read, max_bytes=2 * 60 * 80 * 3)
    a, b, c, _ = list_images(folder)
    for path in (a, b, a, c, a, b):
        images[path]
    assert reads == ["0.png", "1.png", "2.png", "1.png"]


def test_a_bad_file_is_passed_over_and_remembered(folder):
    (folder / "bad.png").write_bytes(b"no")
    images = Images()
    drawn = Singles.below(folder, Sensors(["curves"]), images).draw(40, 32, device_rng("cpu", 0), FULL)
    assert set(drawn.origins) == {"0.png", "1.png", "2.png", "3.png"}
    assert {path.name for path in images.rejected} == {"bad.png"}


def test_no_usable_file_is_an_input_error(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no")
    with pytest.raises(InputError, match="none of 1 images is usable"):
        Singles.below(tmp_path, Sensors(["curves"])).draw(1, 32, device_rng("cpu", 0), FULL)


# Aligned pairs


@pytest.fixture
def pairs_folder(tmp_path):
    for kind, count in (("optical-sar", 9), ("map", 1)):
        (tmp_path / kind).mkdir()
        for n in range(count):
            image = texture(n, channels=1)
            cv2.imwrite(str(tmp_path / kind / f"{n}_a.png"), image)
            cv2.imwrite(str(tmp_path / kind / f"{n}_b.png"), 255 - image)
    return tmp_path


def test_real_pairs_stay_aligned(pairs_folder):
    drawn = AlignedPairs.below(pairs_folder).draw(64, 32, device_rng("cpu", 0), FULL)
    assert (drawn.first + drawn.second - 1).abs().max() < 0.01, "the second is the negative, px by px"
    names = Counter(drawn.names)
    assert set(names) == {("optical", "sar"), ("sar", "optical"), ("visible", "map"), ("map", "visible")}
    few = names[("visible", "map")] + names[("map", "visible")]
    assert 6 < few < 30, "one pair against nine: a quarter, by the square root of the numbers"


def test_without_a_gap_a_real_pair_shows_one_sensor(pairs_folder):
    drawn = AlignedPairs.below(pairs_folder).draw(16, 32, device_rng("cpu", 0), EASY)
    assert torch.equal(drawn.first, drawn.second) and all(a == b for a, b in drawn.names)


def test_pairs_listed_in_a_file(pairs_folder):
    rows = [
        {
            "fixed": "map/0_a.png",
            "moving": "map/0_b.png",
            "modality": "optical-map",
            "moving_to_fixed": np.eye(3).tolist(),
        }
    ]
    manifest = pairs_folder / "pairs.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    assert list(find_pairs(pairs_folder)) == [("optical", "map")]
    rows[0]["moving_to_fixed"][0][2] = 5
    manifest.write_text(json.dumps(rows[0]))
    with pytest.raises(InputError, match="line 1: the pair is not pixel-aligned"):
        find_pairs(pairs_folder)
    manifest.write_text("[]")
    with pytest.raises(InputError, match="line 1"):
        find_pairs(pairs_folder)


def test_pairs_of_different_sizes_are_refused(pairs_folder):
    cv2.imwrite(str(pairs_folder / "map" / "0_b.png"), texture(0, 61, 80, 1))
    source = AlignedPairs({("a", "b"): [(pairs_folder / "map" / "0_a.png", pairs_folder / "map" / "0_b.png")]})
    with pytest.raises(InputError, match="sizes differ"):
        source.draw(1, 32, device_rng("cpu", 0), FULL)


# Worlds


class StubScene:
    sensors = ("camera", "radar", "map")

    def __init__(self, level, side):
        self.level, self.side = level, side

    def render(self, sensor, rng):
        ramp = torch.linspace(0, 1, self.side).expand(1, 1, self.side, self.side)
        return self.level + 0.1 * self.sensors.index(sensor) + 0.2 * ramp


def stub_worlds(**options):
    made = []

    def make(kind, count, side, rng):
        made.append(kind)
        return StubScene(0.001 * len(made), side)

    return Worlds(["land", "city"], maker=MadeHere(make), **options), made


def test_a_pool_of_scenes_fills_slowly_and_is_renewed_one_by_one():
    source, made = stub_worlds(pool=8, fresh=1 / 2)
    rng = device_rng("cpu", 0)
    counts = []
    for _ in range(12):
        source.draw(16, 32, rng, FULL)
        counts.append(len(made))
    assert counts == [2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]
    assert set(made) == {"land", "city"}


@pytest.mark.parametrize("number", [1, 9, 40])
def test_a_draw_shows_the_same_scenes_whatever_was_drawn_before(number):
    """So that training goes on exactly where it stopped."""
    drawn = []
    for start in (0, number):
        source = Worlds(["land", "city"], pool=4, maker=MadeHere(lambda kind, count, side, rng: StubScene(
            float(torch.rand((), generator=rng)), side)))  # fmt: skip
        for n in range(start, number + 1):
            source.go_to(n, 5, 0)
            found = source.draw(8, 32, device_rng("cpu", 5, 0, n), FULL)
        drawn.append(found)
    assert torch.equal(drawn[0].first, drawn[1].first) and drawn[0].origins == drawn[1].origins
    source.go_to(number, 5, 1)
    other = source.draw(8, 32, device_rng("cpu", 5, 0, number), FULL)
    assert not torch.equal(drawn[0].first, other.first)


def test_world_pairs_show_two_sensors_of_one_place():
    source, _ = stub_worlds()
    drawn = source.draw(64, 32, device_rng("cpu", 0), FULL)
    order = StubScene.sensors.index
    step = torch.tensor([0.1 * (order(b) - order(a)) for a, b in drawn.names])
    assert torch.allclose((drawn.second - drawn.first).mean((1, 2, 3)), step, atol=1 / 255)
    assert len({tuple(sorted(pair)) for pair in drawn.names}) == 3 and set(drawn.origins) <= {"land", "city"}
    same = source.draw(16, 32, device_rng("cpu", 0), EASY)
    assert torch.equal(same.first, same.second)


# Recipes


def test_a_mixture_is_built_from_specs(folder, pairs_folder):
    specs = [
        SourceSpec("singles", str(folder), 2.0, ("sar",)),
        SourceSpec("pairs", str(pairs_folder), 1.0),
        SourceSpec("shapes", weight=1.0, names=("curves",)),
    ]
    mixture = build_mixture(specs)
    assert [type(source) for source in mixture.sources] == [Singles, AlignedPairs, Shapes]
    assert mixture.shares == (0.5, 0.25, 0.25)
    with pytest.raises(UsageError, match="nothing to make pairs from"):
        build_mixture([])


@pytest.mark.parametrize("wrong", [("singles", None), ("shapes", "x"), ("shapes", None, 0.0)])
def test_specs_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError):
        SourceSpec(*wrong)


def test_a_folder_is_told_by_its_layout(tmp_path, pairs_folder):
    assert kind_of(tmp_path) == "pairs"
    assert kind_of(tmp_path / "map") == "singles"
    (tmp_path / "manifest.jsonl").write_text("")
    assert kind_of(tmp_path) == "shards"
    assert kind_of(tmp_path / "none") == "singles"
