"""MATCHA (Xue et al., CVPR 2025): one feature for geometric, semantic and temporal correspondence.

Features of Stable Diffusion (`diffusion`) and of DINOv2 (`dino`) are made, kept (`cache`), fused (`fusion`) and merged
into what a variant compares (`features`).
"""
