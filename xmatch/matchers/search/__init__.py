"""Search over all turns, scales and shifts by dense descriptors of structure."""
