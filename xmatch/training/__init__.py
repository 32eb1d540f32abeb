"""Training: a loop that knows steps, checkpoints and clocks, and objectives that know matching.

Runs where only torch, numpy, OpenCV, kornia and PyYAML are installed: neither rasterio nor Typer is imported here.
"""
