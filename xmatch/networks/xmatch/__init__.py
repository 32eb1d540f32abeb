"""XMatch: the dense coarse-to-fine matcher of this project."""
