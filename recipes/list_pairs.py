"""List the pairs of a folder as CSV for `xmatch register --pairs -`.

    python recipes/list_pairs.py FOLDER

NAME_fixed.* and NAME_moving.* are a pair; the two suffixes may differ. Files that are no images are passed over.
"""

import csv
import sys
from pathlib import Path

IMAGES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2", ".svs")


def pairs_in(folder: Path) -> list[tuple[Path, Path]]:
    """(fixed, moving) of each name, sorted; SystemExit when one of the two is missing or not unique."""
    found: dict[str, dict[str, list[Path]]] = {}
    for path in sorted(folder.iterdir()):
        for role in ("fixed", "moving"):
            name, mark, _ = path.name.rpartition(f"_{role}.")
            if mark and path.suffix.lower() in IMAGES:
                found.setdefault(name, {"fixed": [], "moving": []})[role].append(path)
    odd = [name for name, roles in found.items() if [len(paths) for paths in roles.values()] != [1, 1]]
    if odd or not found:
        what = f"not exactly one fixed and one moving image for {', '.join(odd)}" if odd else "no *_fixed.* here"
        raise SystemExit(f"{folder}: {what}; want NAME_fixed.* and NAME_moving.*")
    return [(roles["fixed"][0], roles["moving"][0]) for roles in found.values()]


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        raise SystemExit("usage: python recipes/list_pairs.py FOLDER")
    sys.stdout.reconfigure(errors="surrogateescape")
    csv.writer(sys.stdout, lineterminator="\n").writerows([("fixed", "moving"), *pairs_in(Path(sys.argv[1]))])
