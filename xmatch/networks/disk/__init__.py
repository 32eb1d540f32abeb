"""DISK (Tyszkiewicz et al., NeurIPS 2020): keypoints learnt by reinforcement."""
