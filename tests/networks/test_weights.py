"""The weights that names stand for: inside the package each with a licence and a card, outside each with its source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xmatch.errors import ModelError
from xmatch.io.weights.files import load_state, load_weights, read_metadata
from xmatch.networks.registry import ARCHITECTURES, recognise
from xmatch.networks.weights import find_weights, published, shipped

CARDS = Path(__file__).parents[2] / "docs" / "model-cards"
SHIPPED = shipped()


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_is_small_licensed_and_has_a_card_that_names_it(name):
    assert SHIPPED[name].stat().st_size <= 16 * 2**20
    told = read_metadata(SHIPPED[name])
    assert told.name == name and told.licence and told.data and told.commit
    card = (CARDS / f"{name}.md").read_text(encoding="utf-8")
    assert name in card and told.licence in card


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_fits_the_network_that_it_names(name):
    state, told = load_weights(SHIPPED[name])
    load_state(ARCHITECTURES[told.architecture].build(told.config), state)
    assert recognise(state) is ARCHITECTURES[told.architecture]
    entry = ARCHITECTURES[told.architecture]
    # By its own name as a matcher or a feature, or as `--weights` of its network's matcher.
    assert name in {entry.matcher or entry.feature, f"xmatch-{entry.matcher}"}


def test_weights_under_another_licence_come_with_its_text():
    for name, path in SHIPPED.items():
        if read_metadata(path).licence != "Apache-2.0":
            assert "Redistribution" in path.with_suffix(".LICENSE").read_text(encoding="utf-8"), name


def test_every_card_but_the_pattern_is_of_a_shipped_model():
    assert {path.stem for path in CARDS.glob("*.md")} - {"TEMPLATE"} <= set(SHIPPED)


def test_the_list_of_published_weights_is_complete_in_every_row():
    assert "minima-roma" in published() and "matchanything-eloftr" in published()
    for row, _ in published().values():
        assert re.fullmatch(r"[a-z0-9-]+", row.name) and row.licence and row.source and row.file
        assert row.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", row.sha256)
        assert row.commercial or row.note, f"{row.name}: why not?"
        assert (row.package is None) == (row.member is None) and (row.package is None or row.sha256)
        assert row.works_on is None or row.works_on in published()
    rows = [row.name for entry in ARCHITECTURES.values() for row in entry.published]
    assert len(rows) == len(set(rows)) and not set(rows) & set(SHIPPED)


def test_sizes_are_those_of_single_precision():
    assert published()["eloftr-outdoor"][0].mib == pytest.approx(61.2, abs=0.1)
    assert published()["romav2"][0].mib is None


def test_a_path_stands_for_itself_and_a_name_for_the_shipped_file(tmp_path, monkeypatch):
    monkeypatch.setattr("xmatch.networks.weights.shipped", lambda: {"xmatch-small": tmp_path / "inside"})
    (tmp_path / "mine.safetensors").write_bytes(b"x")
    assert find_weights(tmp_path / "mine.safetensors") == tmp_path / "mine.safetensors"
    assert find_weights("xmatch-small") == tmp_path / "inside"


def test_a_published_name_says_where_the_file_is_or_how_to_fetch_it(monkeypatch, tmp_path):
    monkeypatch.setenv("XMATCH_CACHE", str(tmp_path))
    with pytest.raises(ModelError) as caught:
        find_weights("minima-roma")
    assert "minima_roma.pth" in caught.value.hint and "LSXI7" in caught.value.hint
    with pytest.raises(ModelError) as caught:
        find_weights("xfeat")
    assert caught.value.hint == "xmatch models fetch xfeat"
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "xfeat.pt").touch()
    assert find_weights("xfeat") == tmp_path / "weights" / "xfeat.pt"


def test_an_unknown_name_says_which_there_are():
    with pytest.raises(ModelError, match="no such file, and no model of that name .*xmatch models list"):
        find_weights("nothing-of-the-kind")
