"""Linear layers in 8 bits for CPUs, through PyTorch's own FBGEMM: no other package, no export, 0.2 s to make of the
stand-in.

Weights take 7 bits, one scale a row: with 8, AVX2 saturates. Activations take 8, one scale for all that a layer reads
at once, hence small batches (``embedder.BATCH_TOKENS``); where outliers are, behind the feed-forward layer's GELU, one
scale a token.

Measured on a CPU with AVX2 and without VNNI, for which int8 is made, over 24 to 160 of Django's chunks with the
stand-in, speed in times of float32 and dense cosine to it: this 1.2 and at least 0.992 (mean 0.996); one scale for
everything 1.3 and 0.988 (0.994); one a token everywhere 1.1 and 0.996 (0.997); PyTorch's ``quantize_dynamic`` 1.4 and
0.90 (0.94); OpenVINO's, calibrated by NNCF, 0.9 and 0.991 (0.995), and its float32 as fast as ours.
"""

from __future__ import annotations

import warnings

import torch

LEVELS = 63


class Int8Linear(torch.nn.Module):
    """All that is read at once has one scale."""

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        self.packed = packed(linear.weight.detach().float(), linear.bias.detach())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.ops.quantized.linear_dynamic(x, self.packed, False)
        return found


class ScaledInt8Linear(torch.nn.Module):
    """Each token is brought to a largest value of 1 first, so that an outlier costs no other token its precision."""

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        self.bias = linear.bias.detach()
        self.packed = packed(linear.weight.detach().float(), None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1])
        # A row of zeros stays one; 1e-12 is far below any activation.
        largest = torch.linalg.vector_norm(rows, float("inf"), dim=1, keepdim=True).clamp_min_(1e-12)
        found = torch.ops.quantized.linear_dynamic(rows / largest, self.packed, False)
        return torch.addcmul(self.bias, found, largest).view(*x.shape[:-1], -1)


def packed(weight: torch.Tensor, bias: torch.Tensor | None) -> object:
    """What FBGEMM multiplies with. PyTorch warns that it will drop this way of making it; its version is pinned."""
    scales = (weight.abs().amax(1) / LEVELS).clamp_min(1e-12).double()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zeros = torch.zeros(len(scales), dtype=torch.long)
        quantised = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        packed_weight: object = torch.ops.quantized.linear_prepack(quantised, bias)
    return packed_weight


def quantise(encoder: torch.nn.Module) -> None:
    """Replace every linear layer in place; embeddings, norms and the heads stay as they are."""
    torch.backends.quantized.engine = "fbgemm" if "fbgemm" in torch.backends.quantized.supported_engines else "qnnpack"
    for module in list(encoder.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.Linear):
                narrows = child.in_features > child.out_features
                setattr(module, name, ScaledInt8Linear(child) if narrows else Int8Linear(child))
