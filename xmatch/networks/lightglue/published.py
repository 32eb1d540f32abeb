"""LightGlue's weights as others publish them, and the marks of those and of what is trained here."""

from xmatch.networks.architecture import PublishedWeights

MARKS = ("posenc.Wr.weight", "log_assignment.0.matchability.weight")
TRAINED_MARKS = ("glue.posenc.Wr.weight", "glue.log_assignment.0.matchability.weight", "describer.")
"""Of LightGlue together with the network that describes its keypoints."""

PUBLISHED = (
    PublishedWeights(
        name="minima-lightglue",
        file="minima_lightglue.pth",
        licence="Apache-2.0",
        commercial=False,
        parameters_m=11.85,
        source="github.com/LSXI7/storage, release MINIMA",
        note="works on SuperPoint's keypoints, which are for research only",
    ),
    PublishedWeights(
        name="lightglue-superpoint",
        file="superpoint_lightglue.pth",
        licence="Apache-2.0",
        commercial=False,
        parameters_m=11.85,
        source="github.com/cvg/LightGlue",
        note="works on SuperPoint's keypoints, which are for research only",
    ),
    PublishedWeights(
        name="lightglue-disk",
        file="disk_lightglue.pth",
        licence="Apache-2.0",
        commercial=True,
        parameters_m=11.88,
        source="github.com/cvg/LightGlue",
        note="works on DISK's keypoints (disk-depth)",
    ),
)
