"""Lists in whatever encoding and with whatever line ends their programs write."""

import pytest

from xmatch.errors import InputError
from xmatch.io.text_files import csv_records, csv_rows, decode_text, delimiter_of, read_text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(encoding, end):
    assert decode_text(end.join(["é,b", "c,d", ""]).encode(encoding)) == "é,b\nc,d\n"


def test_what_is_no_text_is_refused(tmp_path):
    (tmp_path / "list.csv").write_bytes(b"a\xff,b\n")
    with pytest.raises(InputError, match="no text"):
        read_text(tmp_path / "list.csv")


def test_rows_keep_their_line_numbers_over_empty_lines_and_line_breaks_in_quotes():
    assert csv_rows('a,b\n\n"c\nd",e\nf,g\n') == [(1, ["a", "b"]), (3, ["c\nd", "e"]), (5, ["f", "g"])]


def test_a_short_row_lacks_its_last_names():
    assert csv_records("x,y\n1,2\n3\n") == (["x", "y"], [{"x": "1", "y": "2"}, {"x": "3"}])


@pytest.mark.parametrize(
    ("lines", "mark"),
    [(["a,b"], ","), (["a;b, c"], ";"), (["a\tb;c"], "\t"), (["a,b", "c;d,e"], ","), (["a"], ","), ([], ",")],
)
def test_the_separator_cuts_every_line(lines, mark):
    assert delimiter_of(lines, (2, 3)) == mark
