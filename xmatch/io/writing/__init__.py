"""Rasters and other files, written: complete and read back, or not at all."""
