"""Values as JSON can hold them."""

from __future__ import annotations

import math
from typing import Any


def json_ready(value: Any) -> Any:
    """Arrays and numbers of numpy as Python's, tuples as lists; NaN and infinity, which JSON has not, as null."""
    if isinstance(value, dict):
        return {key: json_ready(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
