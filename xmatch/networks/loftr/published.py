"""LoFTR's weights as others publish them, and the marks that they are recognised by."""

from xmatch.networks.architecture import PublishedWeights

MARKS = ("loftr_coarse.layers.0.q_proj.weight", "loftr_fine.layers.0.", "fine_preprocess.")
TENSORS = 211
"""Of kornia's network in its published size."""

TRAININGS = {
    "outdoor": {"temp_bug_fix": False},
    "indoor": {"temp_bug_fix": False},
    "indoor_new": {"temp_bug_fix": True},
    "minima": {"temp_bug_fix": True},
}
"""Training of published weights -> whether its encoding of positions was without the slip of the first ones
(github.com/zju3dv/LoFTR/issues/41). The tensors do not tell."""

PUBLISHED = (
    PublishedWeights(
        name="minima-loftr",
        file="minima_loftr.ckpt",
        licence="Apache-2.0",
        commercial=True,
        parameters_m=11.57,
        source="github.com/LSXI7/storage, release MINIMA",
        training="minima",
    ),
    PublishedWeights(
        name="loftr-outdoor",
        file="outdoor_ds.ckpt",
        licence="Apache-2.0",
        commercial=True,
        parameters_m=11.57,
        source="github.com/zju3dv/LoFTR",
        training="outdoor",
    ),
    PublishedWeights(
        name="loftr-outdoor-kornia",
        file="loftr_outdoor.ckpt",
        licence="Apache-2.0",
        commercial=True,
        parameters_m=11.57,
        source="kornia.feature.LoFTR",
        sha256="21f5bec5968178e8bc8b7633441836fe5de4f47d861dd2cd7dc38e271b0479ec",
        training="outdoor",
    ),
)
