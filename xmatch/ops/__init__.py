"""Tensor operations with more than one implementation: what is asked for and how it is done, a module each."""
