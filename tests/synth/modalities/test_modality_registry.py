"""Modalities by name: built-in ones, those of other packages, and what is said when there is none."""

from __future__ import annotations

from importlib import metadata
from importlib.metadata import EntryPoint

import pytest

from xmatch.errors import UsageError
from xmatch.synth.modalities import EXTENSION_POINT, MODALITIES, load_modality, modality_names

GROUP = EXTENSION_POINT.group


class Mirage:
    name = "mirage"

    def __call__(self, image, rng):
        return image


def no_mirage():
    raise RuntimeError("weights are missing")


@pytest.fixture
def plugins(monkeypatch):
    """Two installed plug-ins: one that works, one that does not."""
    here = __name__
    points = [EntryPoint("mirage", f"{here}:Mirage", GROUP), EntryPoint("broken", f"{here}:no_mirage", GROUP)]
    monkeypatch.setattr(metadata, "entry_points", lambda group: points if group == GROUP else [])


def test_an_unknown_name_is_answered_with_the_known_ones(plugins):
    with pytest.raises(UsageError, match="no modality 'x-ray'") as caught:
        load_modality("x-ray")
    assert all(name in caught.value.hint for name in (*MODALITIES, "mirage", "broken"))


def test_a_modality_of_another_package_is_found(plugins):
    assert isinstance(load_modality("mirage"), Mirage)
    assert modality_names() == (*MODALITIES, "mirage", "broken")


def test_a_plug_in_that_fails_is_named_with_its_reason(plugins):
    with pytest.raises(UsageError, match="'broken'.*no_mirage.*weights are missing"):
        load_modality("broken")


def test_a_plug_in_does_not_replace_a_built_in_modality(monkeypatch):
    monkeypatch.setattr(metadata, "entry_points", lambda group: [EntryPoint("sar", f"{__name__}:Mirage", GROUP)])
    assert type(load_modality("sar")) is MODALITIES["sar"]
    assert modality_names() == tuple(MODALITIES)
