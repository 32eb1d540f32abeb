"""Transforms on disk: ITK, VRT, control points, displacement grids."""
