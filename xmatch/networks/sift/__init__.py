"""SIFT (Lowe, IJCV 60, 2004) as a detector that other networks match the keypoints of. It learnt nothing."""
