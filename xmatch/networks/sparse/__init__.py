"""The sparse matcher: XFeat's keypoints, and LightGlue between them, in one file."""
