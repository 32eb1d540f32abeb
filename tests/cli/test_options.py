import pytest

from xmatch.cli.options import Resampling, TransformKind
from xmatch.cli.reading import parse_bands, parse_size
from xmatch.errors import UsageError


def test_the_transforms_offered_are_the_ones_there_are():
    from typing import get_args

    from xmatch.geometry import TRANSFORMS

    assert get_args(TransformKind) == ("auto", *TRANSFORMS)


def test_the_resamplings_offered_are_the_ones_there_are():
    from typing import get_args

    from xmatch.resampling.resample import RESAMPLINGS

    assert set(get_args(Resampling)) == set(RESAMPLINGS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("500M", 500 * 2**20), ("2GiB", 2**31), ("1.5g", 3 * 2**29), ("4096", 4096), ("8 kB", 8192), ("3b", 3)],
)
def test_sizes_are_read_in_powers_of_1024(text, expected):
    assert parse_size(text) == expected


@pytest.mark.parametrize("text", ["", "lots", "0", "-1G", "1.2.3M", "2XB", "nan"])
def test_a_size_that_is_none_is_refused(text):
    with pytest.raises(UsageError):
        parse_size(text)


def test_bands_come_repeated_or_with_commas():
    assert parse_bands(["1,3", "2"]) == (1, 3, 2)
    assert parse_bands(None) is None


@pytest.mark.parametrize("words", [["red"], ["0"], ["1,,2"], ["-1"]])
def test_bands_are_numbers_from_one(words):
    with pytest.raises(UsageError):
        parse_bands(words)
