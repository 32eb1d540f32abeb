from __future__ import annotations

import numpy as np

from xmatch.coords import pixel_centres
from xmatch.synth.preview import LABEL_PX, TILE_PX, contact_sheet, warped_onto_fixed
from xmatch.synth.samples import StoredPair


def sample(shift=0.0, covisible=True):
    fixed = np.zeros((24, 24), np.uint8)
    fixed[8:16, 8:16] = 255
    everywhere = np.ones((24, 24), bool)
    places = (pixel_centres(24, 24) + shift).astype(np.float32)
    facts = {"modalities": ["visible", "sar"], "covisible_share": 1.0}
    moving = np.roll(fixed, (int(shift), int(shift)), (0, 1))
    return StoredPair(fixed, moving, everywhere, everywhere, everywhere & covisible, places, facts)


def test_moving_comes_back_to_where_it_was():
    assert (warped_onto_fixed(sample(shift=3.0))[:20, :20] == sample().fixed[:20, :20]).all()


def test_a_row_per_pair_and_grey_where_nothing_is_shared():
    sheet = contact_sheet([sample(), sample(covisible=False)])
    assert sheet.shape == (2 * (TILE_PX + LABEL_PX), 3 * TILE_PX, 3) and sheet.dtype == np.uint8
    assert (sheet[-TILE_PX:, 2 * TILE_PX :] == 128).all()
