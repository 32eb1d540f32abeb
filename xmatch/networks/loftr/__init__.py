"""LoFTR (Sun et al., CVPR 2021): semi-dense matching without detectors."""
