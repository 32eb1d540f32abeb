"""SHA-256 of files: the one place where bytes are hashed piece by piece."""

from __future__ import annotations

import hashlib
import os
from typing import BinaryIO

CHUNK_BYTES = 2**20
"""Read at a time; larger chunks are no quicker."""


def sha256(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of the whole file, however large."""
    with open(path, "rb") as stream:
        return sha256_of(stream)


def sha256_of(stream: BinaryIO) -> str:
    """Hexadecimal SHA-256 of what is left of a stream. (`hashlib.file_digest` needs Python 3.11.)"""
    digest = hashlib.sha256()
    while chunk := stream.read(CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()
