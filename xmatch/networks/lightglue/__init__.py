"""LightGlue (Lindenberger et al., ICCV 2023): sparse matching of keypoints."""
