"""Matchers: two views in, guesses of the whole alignment and correspondences out."""
