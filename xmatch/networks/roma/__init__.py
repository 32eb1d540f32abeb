"""RoMa (Edstedt et al., CVPR 2024): dense matching, and what MINIMA and MatchAnything trained of it."""
