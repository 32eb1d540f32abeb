"""Numbers as a page prints them: few digits, a true minus sign, thin spaces between thousands."""

from __future__ import annotations

import math

UNKNOWN = "unknown"
NARROW_SPACE = "\u202f"
UNITS = {"um": "\u00b5m", "deg": "\u00b0"}
"""Units of the JSON that print differently."""


def number(value: float | None, digits: int = 3) -> str:
    """`value` with about `digits` significant digits, whole numbers in full."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if value == int(value):
        text = f"{int(value):,}"
    elif not 1e-4 <= abs(value) < 1e9:
        text = f"{value:.{digits - 1}e}"
    else:
        text = f"{value:,.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"
    return text.replace(",", NARROW_SPACE).replace("-", "\u2212")


def percent(share: float | None) -> str:
    """A share in [0, 1]. It reads 0 % or 100 % only when it is exactly that."""
    if share is None or not math.isfinite(share):
        return UNKNOWN
    if 0 < share < 0.001:
        text = "<\u20090.1"
    elif 0.999 < share < 1:
        text = ">\u200999.9"
    elif 0 < share < 0.01 or 0.99 < share < 1:
        text = f"{100 * share:.1f}"
    else:
        text = f"{100 * share:.0f}"
    return f"{text}{NARROW_SPACE}%"


def quantity(value: float | None, unit: str | None, digits: int = 3) -> str:
    """A number with its unit; "unknown" without a number."""
    if value is None or not unit:
        return number(value, digits)
    return f"{number(value, digits)}{NARROW_SPACE}{UNITS.get(unit, unit)}"
