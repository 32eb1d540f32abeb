"""What stands in the place of an answer that will not come."""

from __future__ import annotations

from enum import Enum


class Lost(Enum):
    """Why an item has no answer."""

    DIED = "the process that worked on it died"
    OVERDUE = "it took longer than its time limit"
