"""TIFFs of old-style JPEG (compression 6), which no library writes any more."""

from __future__ import annotations

import struct

import cv2
import numpy as np


def old_jpeg(pages: list[np.ndarray]) -> bytes:
    """A TIFF of (H, W) uint8 pages, each a whole JPEG stream that JPEGInterchangeFormat names."""
    out, link = bytearray(b"II*\0\0\0\0\0"), 4
    for page in pages:
        stream = cv2.imencode(".jpg", page)[1].tobytes()
        at, (height, width) = len(out), page.shape
        out += stream + bytes(len(stream) % 2)
        longs = {256: width, 257: height, 273: at, 278: height, 279: len(stream), 513: at, 514: len(stream)}
        shorts = {258: 8, 259: 6, 262: 1, 277: 1}
        tags = {tag: (4, value) for tag, value in longs.items()} | {tag: (3, value) for tag, value in shorts.items()}
        out[link : link + 4] = struct.pack("<I", len(out))
        out += struct.pack("<H", len(tags))
        out += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, (kind, value) in sorted(tags.items()))
        link = len(out)
        out += bytes(4)
    return bytes(out)
