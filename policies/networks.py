"""Networks that predict from (x, t, condition). Channels last, so that every convolution is one GEMM.

On a CPU, im2col + GEMM beats torch's conv1d backward about threefold for short, wide signals, which action chunks are.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data.errors import ConfigError, did_you_mean


class TimeEmbedding(nn.Module):
    """Flow time in [0, 1] -> (B, dim): sines and cosines of 1000 t (Vaswani et al. 2017), then a small MLP."""

    frequencies: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        half = dim // 2
        self.register_buffer("frequencies", 1000.0 * torch.exp(-math.log(10000.0) * torch.arange(half) / half), persistent=False)
        self.mlp = nn.Sequential(nn.Linear(2 * half, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, t: Tensor) -> Tensor:
        angles = t[:, None] * self.frequencies
        return self.mlp(torch.cat([angles.sin(), angles.cos()], -1))


class ResidualBlock(nn.Module):
    """Pre-norm MLP block whose normalised input is scaled and shifted by the condition (FiLM, Perez et al. 2018)."""

    def __init__(self, width: int, cond: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.film = nn.Linear(cond, 2 * width)
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        scale, shift = self.film(cond).chunk(2, -1)
        h = self.norm(x) * (1 + scale) + shift
        return x + self.outer(F.silu(self.inner(h)))


class ChunkMLP(nn.Module):
    """(B, T, A), (B,), (B, C) -> (B, T, A): the chunk as one flat vector through residual FiLM blocks."""

    def __init__(self, action_dim: int, horizon: int, cond_dim: int, width: int, depth: int) -> None:
        super().__init__()
        self.shape = (horizon, action_dim)
        self.time = TimeEmbedding(128)
        cond = width // 2
        self.condition = nn.Sequential(nn.Linear(cond_dim + 128, width), nn.SiLU(), nn.Linear(width, cond), nn.SiLU())
        self.input = nn.Linear(horizon * action_dim, width)
        self.blocks = nn.ModuleList(ResidualBlock(width, cond) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, horizon * action_dim)

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        c = self.condition(torch.cat([cond, self.time(t)], -1))
        h = self.input(x.flatten(1))
        for block in self.blocks:
            h = block(h, c)
        return self.output(self.norm(h)).view(-1, *self.shape)


class Conv1d(nn.Module):
    """Convolution over time of (B, T, C), odd kernel, zero padded, as im2col + GEMM."""

    def __init__(self, c_in: int, c_out: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.gemm = nn.Linear(kernel * c_in, c_out)

    def forward(self, x: Tensor) -> Tensor:
        pad = self.kernel // 2
        padded, last = F.pad(x, (0, 0, pad, pad)), x.shape[1] - 1
        # Shifted copies side by side, (B, T', kernel * C): their backward is a sum, that of unfold() a scatter.
        return self.gemm(torch.cat([padded[:, k : k + last + 1 : self.stride] for k in range(self.kernel)], -1))


class ConvBlock(nn.Module):
    """Two convolutions, FiLM between them, and a residual path (Chi et al. 2023, with LayerNorm over channels)."""

    def __init__(self, c_in: int, c_out: int, cond: int, kernel: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = Conv1d(c_in, c_out, kernel), Conv1d(c_out, c_out, kernel)
        self.norm1, self.norm2 = nn.LayerNorm(c_out), nn.LayerNorm(c_out)
        self.film = nn.Linear(cond, 2 * c_out)
        self.skip = nn.Linear(c_in, c_out) if c_in != c_out else nn.Identity()

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        scale, shift = self.film(cond)[:, None].chunk(2, -1)
        h = F.silu(self.norm1(self.conv1(x))) * (1 + scale) + shift
        return self.skip(x) + F.silu(self.norm2(self.conv2(h)))


class ChunkUNet(nn.Module):
    """(B, T, A), (B,), (B, C) -> (B, T, A): temporal U-Net of Diffusion Policy (Chi et al. 2023, section III-A).

    T must be divisible by 2 ** (len(widths) - 1), the kernel odd. Raises ConfigError otherwise.
    """

    def __init__(self, action_dim: int, horizon: int, cond_dim: int, widths: tuple[int, ...], kernel: int) -> None:
        super().__init__()
        if horizon % 2 ** (len(widths) - 1):
            raise ConfigError(
                f"horizon {horizon} is not divisible by {2 ** (len(widths) - 1)}, which the {len(widths)} levels of a U-Net need"
            )
        if kernel % 2 == 0 or min(widths) < 1:
            raise ConfigError(f"a U-Net needs an odd kernel and at least one channel per level; found kernel {kernel}, channels {widths}")
        cond = 256
        self.time = TimeEmbedding(128)
        self.condition = nn.Sequential(nn.Linear(cond_dim + 128, cond), nn.SiLU(), nn.Linear(cond, cond), nn.SiLU())
        sizes = (action_dim, *widths)
        self.down = nn.ModuleList(
            nn.ModuleList([ConvBlock(a, b, cond, kernel), ConvBlock(b, b, cond, kernel)]) for a, b in zip(sizes, widths, strict=False)
        )
        self.pool = nn.ModuleList(Conv1d(w, w, 3, stride=2) for w in widths[:-1])
        self.mid = ConvBlock(widths[-1], widths[-1], cond, kernel)
        self.up = nn.ModuleList(
            nn.ModuleList([ConvBlock(b + a, a, cond, kernel), ConvBlock(a, a, cond, kernel)])
            for a, b in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.output = nn.Sequential(
            Conv1d(widths[0], widths[0], kernel), nn.LayerNorm(widths[0]), nn.SiLU(), nn.Linear(widths[0], action_dim)
        )

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        c = self.condition(torch.cat([cond, self.time(t)], -1))
        skips = []
        for level, pair in enumerate(self.down):
            x = self._pair(pair, x, c)
            if level < len(self.pool):
                skips.append(x)
                x = self.pool[level](x)
        x = self.mid(x, c)
        for pair in self.up:
            x = self._pair(pair, torch.cat([x.repeat_interleave(2, 1), skips.pop()], -1), c)
        return self.output(x)

    @staticmethod
    def _pair(pair: nn.Module, x: Tensor, cond: Tensor) -> Tensor:
        for block in pair.children():
            x = block(x, cond)
        return x


def chunk_network(kind: str, action_dim: int, horizon: int, cond_dim: int, width: int, depth: int, kernel: int) -> ChunkMLP | ChunkUNet:
    """The network of a denoising policy. unet: `width` channels at the shortest of `depth` levels, half at each longer one."""
    if kind == "mlp":
        return ChunkMLP(action_dim, horizon, cond_dim, width, depth)
    if kind == "unet":
        return ChunkUNet(action_dim, horizon, cond_dim, tuple(width // 2 ** (depth - 1 - i) for i in range(depth)), kernel)
    raise ConfigError(f"policy.network={kind!r} is unknown; {did_you_mean(kind, ('mlp', 'unet'))}")


def mlp(sizes: list[int], norm: bool = False) -> nn.Sequential:
    """Linear layers with SiLU between them, and LayerNorm before each SiLU if asked."""
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(zip(sizes, sizes[1:], strict=False)):
        layers.append(nn.Linear(a, b))
        if i < len(sizes) - 2:
            layers += [nn.LayerNorm(b), nn.SiLU()] if norm else [nn.SiLU()]
    return nn.Sequential(*layers)
