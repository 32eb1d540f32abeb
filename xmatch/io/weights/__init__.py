"""Weights on disk, and which network they belong to."""
