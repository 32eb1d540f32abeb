"""Efficient LoFTR (Wang et al., CVPR 2024): semi-dense matching without detectors, at a third of LoFTR's cost."""
