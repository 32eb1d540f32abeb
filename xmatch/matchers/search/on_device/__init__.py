"""The same search in torch, many pairs at once, for a GPU: numbers of the modules above, which have them explained."""

from xmatch.matchers.search.on_device.descriptors import Views as Views
from xmatch.matchers.search.on_device.proposals import describer as describer
from xmatch.matchers.search.on_device.proposals import propose as propose
from xmatch.matchers.search.on_device.proposals import upload as upload

__all__ = ["Views", "describer", "propose", "upload"]
