"""XoFTR (Tuzcuoglu et al., CVPR Workshops 2024): semi-dense matching of infrared and visible images."""
