"""From observations in network space to one condition vector."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ImageEncoder(nn.Module):
    """(B, H, W, 3) uint8 -> (B, dim) for images of about 96 x 96: a strided stem, residual convolutions, and two readouts.

    Spatial softmax (Finn et al. 2016) says where things are at stride 4, a flattened map at stride 8 says what is there.
    Training shifts each image by up to `shift` pixels (DrQ, Kostrikov et al. 2020), with edges repeated.
    """

    def __init__(self, height: int, width: int, dim: int, shift: int = 4) -> None:
        super().__init__()
        self.shift = shift
        self.stem = nn.Conv2d(3, 32, 8, stride=4, padding=2)
        self.conv1 = nn.Conv2d(32, 64, 3, padding=1)
        self.conv2 = nn.Conv2d(64, 64, 3, padding=1)
        self.down = nn.Conv2d(64, 96, 3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(96, 96, 3, padding=1)
        self.norms = nn.ModuleList(nn.GroupNorm(8, c) for c in (32, 64, 64, 96, 96))
        self.maps = nn.Conv2d(64, 32, 1)
        self.squeeze = nn.Conv2d(96, 16, 1)
        h, w = height // 4, width // 4
        ys, xs = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
        self.register_buffer("grid", torch.stack([xs, ys], -1).view(-1, 2), persistent=False)
        flat = 16 * ((h + 1) // 2) * ((w + 1) // 2)
        self.output = nn.Sequential(nn.Linear(flat + 64, dim), nn.LayerNorm(dim), nn.SiLU())

    grid: Tensor

    def forward(self, images: Tensor) -> Tensor:
        x = images.permute(0, 3, 1, 2).float().div(127.5).sub(1.0)  # uint8 NHWC is channels_last NCHW already
        if self.training and self.shift:
            x = self._random_shift(x)
        n = self.norms
        x = F.silu(n[0](self.stem(x)))
        x = F.silu(n[1](self.conv1(x)))
        x = x + F.silu(n[2](self.conv2(x)))
        where = self.maps(x).flatten(2).softmax(-1) @ self.grid  # (B, 32, 2)
        x = F.silu(n[3](self.down(x)))
        x = x + F.silu(n[4](self.conv3(x)))
        return self.output(torch.cat([self.squeeze(x).flatten(1), where.flatten(1)], -1))

    def _random_shift(self, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        padded = F.pad(x, (self.shift,) * 4, mode="replicate")
        dy, dx = torch.randint(0, 2 * self.shift + 1, (2, b, 1, 1))
        rows = dy + torch.arange(h)[None, :, None]  # (B, H, 1)
        cols = dx + torch.arange(w)[None, None, :]  # (B, 1, W)
        return padded.permute(0, 2, 3, 1)[torch.arange(b)[:, None, None], rows, cols].permute(0, 3, 1, 2)


class ObsEncoder(nn.Module):
    """name -> (B, n_obs_steps, ...) in network space -> (B, dim).

    Vectors of every observed step are concatenated as they are; of images only the newest frame is read, since a
    second frame costs as much as the first and motion is in the vectors.
    """

    def __init__(
        self, vectors: Mapping[str, int], images: Mapping[str, tuple[int, int]], n_obs_steps: int, image_dim: int, shift: int
    ) -> None:
        super().__init__()
        self.vectors, self.image_names = dict(vectors), list(images)
        self.cameras = nn.ModuleList(ImageEncoder(h, w, image_dim, shift) for h, w in images.values())
        self.dim = n_obs_steps * sum(vectors.values()) + image_dim * len(images)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        parts = [batch[name].flatten(1) for name in self.vectors]
        parts += [camera(batch[name][:, -1]) for name, camera in zip(self.image_names, self.cameras, strict=True)]
        return torch.cat(parts, -1)
