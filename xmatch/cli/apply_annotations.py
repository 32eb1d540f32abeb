"""The part of `xmatch apply` that moves what people have drawn."""

from __future__ import annotations

from os import PathLike

from xmatch.geometry import Transform
from xmatch.io.annotations import read_annotations
from xmatch.registration.annotated import onto_other_image
from xmatch.registration.footprint import described
from xmatch.report.document_types import RegistrationDocument


def moved_annotations(
    document: RegistrationDocument, transform: Transform, path: str, target: PathLike[str], inverse: bool
) -> list[str]:
    """Write the annotations in a file as they lie on the other image.

    Args:
        transform: moving px -> fixed px, of `document`.
        inverse: they were drawn on the fixed image.

    Returns:
        What there is to say of them.

    Raises:
        InputError, UsageError: they cannot be read, or do not lie on the image.
    """
    own, other = described(document["moving"]), described(document["fixed"])
    if inverse:
        transform, own, other = transform.inverse, other, own
    annotations = read_annotations(path)
    moved = onto_other_image(annotations, transform, own, other, path)
    annotations.write(target, moved.xy, moved.crs)
    notes = [f"{path}: {len(moved.xy)} positions in {moved.frame}"]
    if moved.beyond:
        notes.append(f"{path}: {moved.beyond} of them lie where the transform is only continued")
    return notes
