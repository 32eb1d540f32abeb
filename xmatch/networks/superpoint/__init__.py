"""SuperPoint (DeTone et al., CVPR Workshops 2018): keypoints taught by corners of drawn shapes."""
