"""What a worker does in place of `register_listed`; a module of its own, since a process that is spawned imports it."""

from __future__ import annotations

import os
import signal

from fakes import trusted

from xmatch.cli.batch import Ended, Item, register_listed


def dies_of_b(item: Item) -> Ended:
    """Killed, as the kernel does to a process that wants too much memory; other pairs are found at once."""
    if item.row.moving.endswith("b.tif"):
        os.kill(os.getpid(), signal.SIGKILL)
    return finds_at_once(item)


def finds_at_once(item: Item) -> Ended:
    from xmatch.registration import pipeline

    pipeline.register = trusted
    return register_listed(item)
