"""How the tests ask for a refusal."""

from __future__ import annotations

import os

import pytest

from xmatch.errors import InputError
from xmatch.io import ReadOptions, open_source


def refused(path, options=ReadOptions(), kind=InputError) -> str:
    """The message with which opening, or else reading, is refused; it names the file and fits one line."""
    with pytest.raises(kind) as caught:
        with open_source(path, options) as source:
            source.read()
    assert caught.value.path == os.fspath(path)
    assert "\n" not in caught.value.message
    return str(caught.value)
