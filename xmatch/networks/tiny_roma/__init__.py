"""Tiny RoMa (Edstedt et al.): dense matching on XFeat's backbone."""
