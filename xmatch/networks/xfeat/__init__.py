"""XFeat (Potje et al., CVPR 2024): fast keypoints, and LighterGlue between them."""
