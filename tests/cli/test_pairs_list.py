import pytest

from xmatch.cli.pairs_list import PairRow, read_pairs
from xmatch.errors import InputError, UsageError


@pytest.fixture
def listed(tmp_path):
    def read(data: bytes):
        path = tmp_path / "pairs.csv"
        path.write_bytes(data)
        return read_pairs(str(path))

    return read


@pytest.mark.parametrize(
    "data",
    [
        b"a.tif,b.tif\nc.tif,d e.tif,out.tif\n",
        b"fixed,moving,output\na.tif,b.tif\nc.tif,d e.tif,out.tif\n",
        b"\xef\xbb\xbfmoving;fixed;output\r\nb.tif;a.tif;\r\n\r\nd e.tif;c.tif;out.tif\r\n",
        b"a.tif\tb.tif\nc.tif\td e.tif\tout.tif",
        b"fixed,moving,output\ra.tif,b.tif\rc.tif,d e.tif,out.tif\r",
        "fixed\tmoving\toutput\r\na.tif\tb.tif\r\nc.tif\td e.tif\tout.tif\r\n".encode("utf-16"),
        b"\xfe\xff" + "a.tif;b.tif\nc.tif;d e.tif;out.tif\n".encode("utf-16-be"),
    ],
)
def test_headers_delimiters_and_byte_order_marks_are_all_welcome(listed, data):
    assert listed(data) == [PairRow("a.tif", "b.tif"), PairRow("c.tif", "d e.tif", "out.tif")]


def test_quoted_names_keep_commas_and_odd_bytes(listed):
    (row,) = listed(b'"a,b.tif",caf\xe9.tif\n')
    assert row.fixed == "a,b.tif"
    assert row.moving.encode(errors="surrogateescape") == b"caf\xe9.tif"


def test_a_semicolon_or_tab_separates_before_a_comma_does(listed):
    assert listed(b"optical.tif;slc-off, 2009.tif\n") == [PairRow("optical.tif", "slc-off, 2009.tif")]


@pytest.mark.parametrize("data", [b"a.tif," + b"x" * 200_000 + b"\n", b'a.tif,"b.tif\n' + b"c.tif,d.tif\n" * 20_000])
def test_a_quote_that_is_left_open_is_named_by_its_line(listed, data):
    with pytest.raises(InputError, match="line 1"):
        listed(data)


def test_half_a_character_is_no_text(listed):
    with pytest.raises(InputError, match="no text"):
        listed("fixed,moving\n".encode("utf-16")[:-1])


@pytest.mark.parametrize("data", [b"", b"\n\n", b"fixed,moving,colour\na,b,c\n"])
def test_a_list_without_pairs_is_refused(listed, data):
    with pytest.raises(UsageError):
        listed(data)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"fixed,moving\na.tif,b.tif\nc.tif,\n", 3),
        (b"a.tif,b.tif\nc.tif\n", 2),
        (b"a.tif,b.tif,c.tif\na,b,c,d\n", 2),
    ],
)
def test_a_malformed_row_says_which_line_it_is_and_leaves_the_others(listed, data, line):
    good, bad = listed(data)
    assert good.problem is None and f"line {line} " in bad.problem.message


def test_a_missing_list_is_an_input_error(tmp_path):
    with pytest.raises(InputError):
        read_pairs(str(tmp_path / "none.csv"))
