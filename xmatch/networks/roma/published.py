"""RoMa's weights as others publish them, the marks that they are recognised by, and how images were shown to them."""

from xmatch.networks.architecture import PublishedWeights

MARKS = ("decoder.embedding_decoder.to_out.weight", "decoder.conv_refiner.16.", "encoder.")
TENSORS = 603

_AS_ROMA = {"normalised": True, "resize": "bicubic"}
TRAININGS = {
    "outdoor": _AS_ROMA,
    "indoor": _AS_ROMA,
    "minima": _AS_ROMA,
    "matchanything": {"normalised": False, "resize": "bilinear"},
}
"""Training of published weights -> how their authors resize images, and whether they normalise them. The tensors do not
tell; a mistake costs accuracy silently."""

PUBLISHED = (
    PublishedWeights(
        name="roma-outdoor",
        file="roma_outdoor.pth",
        licence="MIT",
        commercial=True,
        parameters_m=111.36,
        source="github.com/Parskatt/storage, release roma",
        works_on="dinov2-vitl14",
        training="outdoor",
    ),
    PublishedWeights(
        name="roma-indoor",
        file="roma_indoor.pth",
        licence="MIT",
        commercial=True,
        parameters_m=111.36,
        source="github.com/Parskatt/storage, release roma",
        works_on="dinov2-vitl14",
        training="indoor",
    ),
    PublishedWeights(
        name="minima-roma",
        file="minima_roma.pth",
        licence="Apache-2.0",
        commercial=True,
        parameters_m=111.36,
        source="github.com/LSXI7/storage, release MINIMA",
        sha256="17f3923bd780e8f1450792706e0643f70c8864ad11bf5fd4f2b54714bac23538",
        works_on="dinov2-vitl14",
        training="minima",
    ),
    PublishedWeights(
        name="matchanything-roma",
        file="matchanything_roma.ckpt",
        licence="Apache-2.0",
        commercial=True,
        parameters_m=111.36,
        source="huggingface.co/spaces/LittleFrog/MatchAnything",
        works_on="dinov2-vitl14",
        training="matchanything",
    ),
)
