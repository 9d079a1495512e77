"""The U-Net that nnU-Net v2 trains by default, with the names of its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Triple = tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """The shape of the network."""

    channels: int
    classes: int
    features: Sequence[int]
    """By stage."""

    kernels: Sequence[Triple]
    strides: Sequence[Triple]
    encoder_convs: Sequence[int]
    decoder_convs: Sequence[int]


class Conv(nn.Module):
    """Convolution, instance norm, leaky rectifier."""

    def __init__(self, inputs: int, outputs: int, kernel: Triple, stride: Triple) -> None:
        super().__init__()
        padding = tuple((size - 1) // 2 for size in kernel)
        self.conv = nn.Conv3d(inputs, outputs, kernel, stride, padding)  # type: ignore[arg-type]
        self.norm = nn.InstanceNorm3d(outputs, eps=1e-5, affine=True)

    def forward(self, volume: Tensor) -> Tensor:
        """Map (N, inputs, …) to (N, outputs, …)."""
        return nn.functional.leaky_relu(self.norm(self.conv(volume)), 0.01)


class Stack(nn.Module):
    """Convolutions one after another, the first with a stride."""

    def __init__(
        self, count: int, inputs: int, outputs: int, kernel: Triple, stride: Triple
    ) -> None:
        super().__init__()
        ones = (1,) * len(kernel)
        self.convs = nn.Sequential(
            *(
                Conv(inputs if n == 0 else outputs, outputs, kernel, stride if n == 0 else ones)
                for n in range(count)
            )
        )

    def forward(self, volume: Tensor) -> Tensor:
        """Run them all."""
        result: Tensor = self.convs(volume)
        return result


class Encoder(nn.Module):
    """Stages, each half as fine as the one before."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        inputs = [plan.channels, *plan.features[:-1]]
        self.stages = nn.Sequential(
            *(
                nn.Sequential(Stack(count, before, after, kernel, stride))
                for count, before, after, kernel, stride in zip(
                    plan.encoder_convs, inputs, plan.features, plan.kernels, plan.strides,
                    strict=True,
                )
            )
        )  # fmt: skip

    def forward(self, volume: Tensor) -> list[Tensor]:
        """Give what every stage made."""
        made = []
        for stage in self.stages:
            volume = stage(volume)
            made.append(volume)
        return made


class Decoder(nn.Module):
    """Back up again, with what the encoder saw at each stage."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        stages, ups, heads = [], [], []
        for n in range(1, len(plan.features)):
            below, here = plan.features[-n], plan.features[-n - 1]
            stride = plan.strides[-n]
            ups.append(nn.ConvTranspose3d(below, here, stride, stride))  # type: ignore[arg-type]
            ones = (1,) * len(stride)
            count = plan.decoder_convs[n - 1]
            stages.append(Stack(count, 2 * here, here, plan.kernels[-n - 1], ones))
            heads.append(nn.Conv3d(here, plan.classes, 1))
        self.stages, self.transpconvs = nn.ModuleList(stages), nn.ModuleList(ups)
        self.seg_layers = nn.ModuleList(heads)

    def forward(self, skips: list[Tensor]) -> Tensor:
        """Give the logits of the finest stage."""
        volume = skips[-1]
        for n, (up, stage) in enumerate(zip(self.transpconvs, self.stages, strict=True)):
            volume = stage(torch.cat((up(volume), skips[-n - 2]), 1))
        result: Tensor = self.seg_layers[-1](volume)
        return result


class PlainUNet(nn.Module):
    """(N, channels, D, H, W) → logits (N, classes, D, H, W)."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(plan), Decoder(plan)

    def forward(self, volume: Tensor) -> Tensor:
        """Give the logits of the finest stage."""
        result: Tensor = self.decoder(self.encoder(volume))
        return result


def own_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Drop the second names under which nnU-Net stores the same weights."""
    return {
        name: tensor
        for name, tensor in weights.items()
        if not name.startswith("decoder.encoder.") and ".all_modules." not in name
    }
