"""DINOv2 (Oquab et al., TMLR 2024): the image encoder that RoMa looks with."""
