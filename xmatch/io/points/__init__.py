"""Correspondences on disk."""
