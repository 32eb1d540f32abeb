"""RoMa's convolutional encoder: VGG19 with batch normalisation, and what it sees before each pooling."""

from __future__ import annotations

from torch import Tensor, nn

from xmatch.networks.roma.config import RomaConfig


class Vgg(nn.Module):
    def __init__(self, config: RomaConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs, count in zip(config.channels, config.convolutions, strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
                inputs = outputs
            layers.append(nn.MaxPool2d(2))
        self.layers = nn.ModuleList(layers)

    def forward(self, image: Tensor) -> dict[int, Tensor]:
        """Stride (1, 2, 4, 8) -> features, of (B, 3, H, W) with sides that are multiples of 8."""
        found: dict[int, Tensor] = {}
        x, stride = image, 1
        for layer in self.layers:
            if isinstance(layer, nn.MaxPool2d):
                found[stride] = x
                stride *= 2
                if stride == 16:  # what follows the last pooling nobody asks for
                    break
            x = layer(x)
        return found


class Encoder(nn.Module):
    """Holds the encoder under its published name."""

    def __init__(self, config: RomaConfig) -> None:
        super().__init__()
        self.cnn = Vgg(config)
