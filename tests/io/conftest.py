"""Fixtures of the tests of reading and writing."""

from __future__ import annotations

import pytest


@pytest.fixture
def nothing_on_stderr(capfd):
    """Neither GDAL, libtiff nor tifffile may talk to the user behind the program's back."""
    yield
    assert capfd.readouterr().err == ""
