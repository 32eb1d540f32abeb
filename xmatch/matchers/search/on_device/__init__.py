"""The same search in torch, many pairs at once, for a GPU: numbers of the modules above, which have them explained."""

from xmatch.matchers.search.on_device.proposals import propose as propose

__all__ = ["propose"]
