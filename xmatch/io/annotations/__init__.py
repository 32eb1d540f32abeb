"""What people have drawn on an image: positions out of a file of annotations, and the same file with others."""

from xmatch.io.annotations.base import Annotations
from xmatch.io.annotations.reading import SUFFIXES, is_annotations, read_annotations, written_suffix

__all__ = ["SUFFIXES", "Annotations", "is_annotations", "read_annotations", "written_suffix"]
