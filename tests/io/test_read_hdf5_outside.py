"""HDF5 that names other files is refused: what they hold could be carried into a result."""

import base64
import zlib

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from xmatch.errors import InputError
from xmatch.io import open_source
from xmatch.io.rasters import hdf5_outside
from xmatch.io.rasters.hdf5_outside import refuse_outside

OUTSIDE = {
    "storage": (
        "values in other files",
        b"c-"
        b"rgqaB<`1lHy_j0S*oZ76t(ZWbhvfHn5`dVe$!3nh{EOK<O1sFmXn(oCH){5NbZUx{x4OSCH!eXaHtU1`CAdU>F4>5qP*d27u@YC?"
        b"A$ePcWgXD?>|<9u(Tk$iN0MixI}xfY3}30cf(sNizdo$_RBYBT@=x1=1is6BEQBcA&Y8P&J?&V}K*Q!~D$w%~8yZu$&@*rZRx0@g"
        b"RW~&H*f_>WWj7i&9JUk}~rk{9r$S7m&YT{!w5aP1EE602Es~VE",
    ),
    "storage of the later layout": (
        "values in other files",
        b"c-"
        b"rgqaB<`1lHy|K;9!7(|4{Iq5yCfsiZ9I(_4W5~31VWXU=l)B2m@S93_vYxJPbgJv1~KUJP!t{fwmI0J76aOEnrk(U|?cmWMqNL;i"
        b"8#&7#IZ@KyCs74hB}BE19|2HGn37MHw0PLp{oYW}5(%<^cMZnGxnom?%RH!+?VNGY8^4Tpa^IYze3s)FTY{8Bx_1rzRJrmgpsA=0"
        b"W%X@QgJ&",
    ),
    "link": (
        "links to other files",
        b"c-"
        b"rgqaB<`1lHy_j0S*oZ76t(ZWbhvf3Yby(F!=;1%?PDCp!5nRm^ceqP68?}05x9$YF+?TJS51~71?}rdq%;?1|F`C;G_}(<#Ryk6H"
        b"KV;VCgV`O7=3rQ!e(D$pv%?Ba(VHsCq^Y2gWj928R5SjMO5%ykrLbGO#!RSKvJ9",
    ),
    "many links in a heap": (
        "links to other files",
        b"c-"
        b"rgqaB<`1lHy|K;9!7(|4`t}2H_h(#mhy^Hv4<H1Tir@VG;rf$TLDDHbQAGCI%4e2*a=daeKuMx&?UzFt7tTObh}H7y+aQ_4jos4O"
        b"E3nLjfm|HnJe;gczv+q@7t{Vupgs3{D{)E)1+7b=*La6b(%#m>n=%!nR4Uxdj7NF~Ho%$bd>C><eJ10NMeQ(S+J0#ehn0yI`@!Da"
        b"6N(fmMI2FC&8}P)L+vceRZY!wN7{uW5-"
        b"YLkO7pyxUfvVKSH*dEV27Ars7W4tW>Mpao`5s5`Ko!5+*!d~Mf3hB`2FN=@@mhP_~BVf*S245MJM0k_~_S9n5a1g5M@;G7^)a@oz"
        b"p#R*;%fXj(@C#EuTI53qN@G>yumt>?C>E$Ie=$A2o1r4zY8etPO#wKWjP0$pZpcytnb8LbZXo91F6aWB(gmV=",
    ),
    "virtual": (
        "virtual data set",
        b"c-"
        b"rgqaB<`1lHy|K;9!7(|4_gn0pS}!#T`34+5J6Sf|wX8n1qlO!T=W&10w?i8xI4JVl3MXGtYy8YM`w|?GD%pib8uivym|aBclof0}"
        b"~S?BMVe5E}EH#fl+_~<VFzSU|<Ehnwgt}52%8f0U8Qmxit(!3Rvwmv1AwpqhJ(_f>AIEhym`-"
        b"{yyN!P5`Om0|Gag0+>L4Nk(dsUS2Xo83QwtFbFV#Dpime6BASmBe=4K&^s=B??kAb!9N=2qhJ(_f>AIEM!_f;1*2dTjDk@x3Pu6F"
        b"0RU%yG4B",
    ),
}
"""Ways to keep values elsewhere -> what is said of each, and a file of a few values as h5py 3 writes it, packed."""


@pytest.mark.parametrize("way", OUTSIDE)
def test_hdf5_that_names_other_files_is_refused(tmp_path, way):
    words, packed = OUTSIDE[way]
    path = tmp_path / "a.nc"
    path.write_bytes(zlib.decompress(base64.b85decode(packed)))
    with pytest.raises(InputError, match=words) as refused:
        open_source(path)
    assert "--allow-remote permits it" in str(refused.value)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_hdf5_with_values_of_its_own_is_not(tmp_path):
    profile = {"driver": "GTiff", "width": 40, "height": 30, "count": 1, "dtype": "uint8"}
    with rasterio.open(tmp_path / "a.tif", "w", **profile) as file:
        file.write(np.full((1, 30, 40), 7, np.uint8))
    path = tmp_path / "a.nc"
    rasterio.shutil.copy(tmp_path / "a.tif", path, driver="netCDF", FORMAT="NC4")
    refuse_outside(path)


def test_packed_heaps_hide_their_links(tmp_path):
    words, packed = OUTSIDE["many links in a heap"]
    data = zlib.decompress(base64.b85decode(packed))
    at = data.index(b"FRHP") + 7
    path = tmp_path / "a.nc"
    path.write_bytes(data[:at] + b"\x20\x00" + data[at + 2 :].replace(b"other.nc", b"\x00" * 8))
    with pytest.raises(InputError, match="packed"):
        open_source(path)


SUPERBLOCK = b"\x89HDF\r\n\x1a\n" + bytes([2, 8, 8, 0]) + bytes(36)


def link(file: bytes, target: bytes = b"a\x00", name: bytes = b"n") -> bytes:
    """A link message of the external kind, its name's length in four bytes."""
    value = b"\x00" + file + b"\x00" + target
    return b"\x01\x0a\x40" + len(name).to_bytes(4, "little") + name + len(value).to_bytes(2, "little") + value


@pytest.mark.parametrize(
    "message",
    [
        link(b"/\x01/secret.nc"),  # is looked for beside the file, where its folder is not there
        link(b"secret.nc", target=b"\x00"),  # to all of it
        link(b"secret.nc", target=b"a"),  # ends with the value
        link(b"secret.nc", name=b"n" * 70_000),
    ],
)
def test_a_link_that_is_made_to_look_like_data_is_seen(tmp_path, message):
    path = tmp_path / "a.nc"
    path.write_bytes(SUPERBLOCK + message + bytes(64))
    with pytest.raises(InputError, match="links to other files"):
        refuse_outside(str(path))


def test_data_with_control_characters_are_no_link(tmp_path):
    path = tmp_path / "a.nc"
    path.write_bytes(SUPERBLOCK + link(b"a\x01b") + bytes(64))
    refuse_outside(str(path))


def test_an_image_of_the_cache_is_refused(tmp_path):
    path = tmp_path / "a.nc"
    path.write_bytes(SUPERBLOCK + b"MDCI\x00\x00" + (40).to_bytes(8, "little") + bytes(40))
    with pytest.raises(InputError, match="metadata cache"):
        refuse_outside(str(path))


def test_a_superblock_further_on_is_refused(tmp_path):
    path = tmp_path / "a.nc"
    path.write_bytes(b"\x89HDF    " + SUPERBLOCK[8:].ljust(504, b"\x00") + SUPERBLOCK)
    with pytest.raises(InputError, match="addresses of another kind"):
        refuse_outside(str(path))


@pytest.mark.parametrize("way", OUTSIDE)
def test_what_lies_across_two_chunks_is_seen(tmp_path, monkeypatch, way):
    words, packed = OUTSIDE[way]
    path = tmp_path / "a.nc"
    path.write_bytes(zlib.decompress(base64.b85decode(packed)))
    monkeypatch.setattr(hdf5_outside, "_CHUNK", 3)
    with pytest.raises(InputError, match=words):
        refuse_outside(str(path))
