"""Files in and out. Reading: `open_source` gives a `Source`, whose header is there at once and whose pixels come
when they are asked for."""

from xmatch.io.digest import file_digest
from xmatch.io.opening import open_source
from xmatch.io.read_options import ReadOptions
from xmatch.io.source import Header, Source, Window

__all__ = ["Header", "ReadOptions", "Source", "Window", "file_digest", "open_source"]
