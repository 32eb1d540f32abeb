"""A moving image onto another grid, block by block, each value computed once from the file."""
