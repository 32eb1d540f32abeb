"""Rasters, read: headers at once, pixels in windows when they are asked for."""
