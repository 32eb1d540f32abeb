"""Runs in vismatch's own environment, without xmatch: python vismatch_script.py FIXED MOVING OUTPUT NAME DEVICE SEED

Writes the correspondences that its matcher NAME finds between two images: x0, y0, x1, y1, fixed before moving, px of
the images as they are, corner-counted. Written for vismatch 1.4.
"""

from __future__ import annotations

import os
import sys

FROM_CORNERS = {
    # W / 2 * (x + 1) of normalised positions
    *("roma", "tiny-roma", "romav2", "redimatch", "redimatch-indoor", "minima-roma", "minima-roma-tiny"),
    *("matchanything-roma", "gim-dkm", "dedode", "dedode-subpx", "dedode-kornia", "dedode-lightglue"),
    *("steerers", "affine-steerers"),
    # LoFTR and its kin: cells stand for their first corner, in the frame of COLMAP's cameras
    *("loftr", "eloftr", "se2loftr", "xoftr", "aspanformer", "matchformer", "topicfm", "topicfm-plus", "edm"),
    *("minima-loftr", "minima-xoftr", "matchanything-eloftr"),
}
"""Matchers whose positions have the first pixel's centre at (0.5, 0.5), as read in the sources of 1.4.0. The others
have it at (0, 0), which is vismatch's rule (its pull request 63)."""


def main(fixed: str, moving: str, output: str, name: str, device: str, seed: str) -> int:
    # What lies beside this file must not stand in for modules of the environment.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]
    import numpy as np
    import torch
    import vismatch

    if name not in vismatch.available_models:
        print(f"this vismatch has no matcher {name!r}; vismatch.available_models lists them", file=sys.stderr)
        return 2
    # Dense matchers draw what they return.
    np.random.seed(int(seed))
    torch.manual_seed(int(seed))
    device = vismatch.get_default_device() if device == "auto" else device
    matcher = vismatch.get_matcher(name, device=device)
    # Its own homography is not needed, and fails on matches that determine none.
    matcher.skip_ransac = True
    found = matcher(matcher.load_image(fixed), matcher.load_image(moving))
    rows = np.hstack([np.asarray(found[key], float).reshape(-1, 2) for key in ("matched_kpts0", "matched_kpts1")])
    rows = rows[np.isfinite(rows).all(axis=1)] + (0.0 if name in FROM_CORNERS else 0.5)
    np.savetxt(output, rows, delimiter=",", header="x0,y0,x1,y1", comments="")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
