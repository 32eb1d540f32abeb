"""Making training pairs: images of one scene as different sensors see it, with the exact warp between them.

Images are torch float32 (B, C, H, W) in [0, 1] with C = 1 or 3; random numbers come from the generator handed in,
on the device of the tensors they are for. Importing this package loads nothing: take what you need from its modules.
"""
