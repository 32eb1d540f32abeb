"""The weights that names stand for: inside the package each with a licence and a card, outside each with its source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xmatch.errors import ModelError
from xmatch.io.weights.files import load_state, load_weights, read_metadata
from xmatch.io.weights.kinds import FAMILIES
from xmatch.io.weights.shelf import find_weights, published, shipped
from xmatch.matchers.registry import MATCHERS

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
    from xmatch.networks.fieldnet.network import FieldNet, FieldNetConfig
    from xmatch.networks.xmatch.config import XMatchConfig
    from xmatch.networks.xmatch.network import XMatch

    networks = {"xmatch": (XMatch, XMatchConfig), "xmatch-fields": (FieldNet, FieldNetConfig)}
    state, told = load_weights(SHIPPED[name])
    network, config = networks[told.architecture]
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in told.config.items()}
    load_state(network(config(**values)), state)


def test_every_card_but_the_pattern_is_of_a_shipped_model():
    assert {path.stem for path in CARDS.glob("*.md")} - {"TEMPLATE"} <= set(SHIPPED)


def test_the_list_of_published_weights_is_complete_in_every_row():
    rows = published()
    assert "minima-roma" in rows and "matchanything-eloftr" in rows
    for row in rows.values():
        assert re.fullmatch(r"[a-z0-9-]+", row.name) and row.licence and row.source and row.file
        assert row.family in {family.name for family in FAMILIES}
        assert row.matcher is None or row.matcher in MATCHERS
        assert row.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", row.sha256)
        assert row.commercial or row.note, f"{row.name}: why not?"


def test_sizes_are_those_of_single_precision():
    assert published()["eloftr-outdoor"].mib == pytest.approx(61.2, abs=0.1)
    assert published()["romav2"].mib is None


def test_a_path_stands_for_itself_and_a_name_for_the_shipped_file(tmp_path, monkeypatch):
    monkeypatch.setattr("xmatch.io.weights.shelf.shipped", lambda: {"xmatch-small": tmp_path / "inside"})
    (tmp_path / "mine.safetensors").write_bytes(b"x")
    assert find_weights(tmp_path / "mine.safetensors") == tmp_path / "mine.safetensors"
    assert find_weights("xmatch-small") == tmp_path / "inside"


def test_a_published_name_says_where_the_file_is_and_how_to_convert_it():
    with pytest.raises(ModelError) as caught:
        find_weights("minima-roma")
    assert "LSXI7" in caught.value.hint and "xmatch models convert minima_roma.pth" in caught.value.hint


def test_an_unknown_name_says_which_there_are():
    with pytest.raises(ModelError, match="no such file, and no model of that name .*xmatch models list"):
        find_weights("nothing-of-the-kind")
