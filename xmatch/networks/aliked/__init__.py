"""ALIKED (Zhao et al., IEEE TIM 72, 2023): keypoints and descriptors that bend with what they describe."""
