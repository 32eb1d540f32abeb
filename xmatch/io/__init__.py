"""Files in and out. Reading: `open_source` gives a `Source`, whose header is there at once and whose pixels come
when they are asked for."""

from xmatch.io.rasters.digest import file_digest
from xmatch.io.rasters.opening import open_source
from xmatch.io.rasters.options import ReadOptions
from xmatch.io.rasters.source import Header, Source, Window

__all__ = ["Header", "ReadOptions", "Source", "Window", "file_digest", "open_source"]
