"""Networks: frozen configs and nn.Modules. They read no files and choose no device."""

from xmatch.models.config import SIZES, XMatchConfig
from xmatch.models.matcher import DenseWarp, Prediction, XMatch

__all__ = ["SIZES", "DenseWarp", "Prediction", "XMatch", "XMatchConfig"]
