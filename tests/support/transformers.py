"""A small vision transformer.

Dosovitskiy et al.: An image is worth 16x16 words. ICLR 2021.
"""

import torch
from torch import nn
from torch.nn import functional


class Attention(nn.Module):
    """Multi-head attention with query, key and value from one dense layer.

    It is written out, or torch's own.
    """

    def __init__(self, width: int, heads: int, *, fused: bool) -> None:
        super().__init__()
        self.heads, self.fused = heads, fused
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        batch, count, width = tokens.shape
        packed = self.qkv(tokens).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = packed.permute(2, 0, 3, 1, 4).unbind(0)
        if self.fused:
            mixed = functional.scaled_dot_product_attention(query, key, value)
        else:
            scale = (width // self.heads) ** -0.5
            mixed = torch.softmax(query @ key.transpose(-2, -1) * scale, dim=-1) @ value
        answer: torch.Tensor = self.out(mixed.transpose(1, 2).reshape(batch, count, width))
        return answer


class Block(nn.Module):
    """Attention and a perceptron, each after a layer normalisation and around a skip connection."""

    def __init__(self, width: int, heads: int, *, fused: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads, fused=fused)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = tokens + self.attention(self.norm1(tokens))
        answer: torch.Tensor = tokens + self.down(functional.gelu(self.up(self.norm2(tokens))))
        return answer


class VisionTransformer(nn.Module):
    """Vision transformer of two blocks, with learned positions and a head on the class token.

    A strided convolution makes its patches.
    """

    def __init__(
        self, channels: int, size: int, classes: int, *, patch: int = 4, width: int = 8, fused: bool = False
    ) -> None:
        super().__init__()
        self.embed = nn.Conv2d(channels, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, (size // patch) ** 2 + 1, width))
        self.blocks = nn.Sequential(*(Block(width, 2, fused=fused) for _ in range(2)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        patches = self.embed(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(x.shape[0], -1, -1), patches], 1) + self.positions
        scores: torch.Tensor = self.head(self.norm(self.blocks(tokens))[:, 0])
        return scores
