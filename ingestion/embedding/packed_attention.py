"""Attention within each text of one stream of tokens, registered with transformers under a name of its own.

On CUDA in 16 bits PyTorch's variable-length flash attention reads the whole stream at once. Elsewhere (CPU, MPS,
float32, cards before Ampere) texts of equal length are computed together, unmasked. Both are one opaque operator to
torch.compile.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

NAME = "texts_in_a_stream"
# Flash attention needs Ampere; its variable-length form takes heads up to this size.
FLASH_CAPABILITY, FLASH_HEAD = (8, 0), 256


def register() -> None:
    """Register the attention with transformers, for the whole process."""
    AttentionInterface.register(NAME, attend)
    # Without a mask: texts are told apart by their bounds.
    AttentionMaskInterface.register(NAME, lambda *_, **__: None)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    bounds: torch.Tensor,
    lengths: torch.Tensor,
    longest: int,
    flash: bool,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Return the attention (1, tokens, heads, size) of query, key and value (1, heads, tokens, size).

    ``bounds`` are the offsets of the texts, on the device, ``lengths`` their tokens, on the host, ``longest`` the
    largest of these. ``flash``: use PyTorch's variable-length flash attention.
    """
    scale = scaling or query.shape[-1] ** -0.5
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    if flash:
        from torch.nn.attention.varlen import varlen_attn

        found: torch.Tensor = varlen_attn(q, k, v, bounds, bounds, longest, longest, scale=scale)  # type: ignore[assignment]
    else:
        found = torch.ops.ingestion.attend_by_length(q, k, v, lengths, scale)
    return found[None], None


def has_flash(weight: torch.Tensor, head_size: int) -> bool:
    """Return whether flash attention works on the weight's device, in its precision, for heads of this size."""
    if weight.device.type != "cuda" or weight.dtype not in (torch.float16, torch.bfloat16):
        return False
    return head_size <= FLASH_HEAD and torch.cuda.get_device_capability(weight.device) >= FLASH_CAPABILITY


@torch.library.custom_op("ingestion::attend_by_length", mutates_args=())
def attend_by_length(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, lengths: torch.Tensor, scale: float
) -> torch.Tensor:
    """Return the attention (tokens, heads, size) of q, k and v of that shape.

    Neighbouring texts of equal length are computed in one call.
    """
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    start = 0
    for length, group in groupby(lengths.tolist()):
        rows = len(list(group))
        end = start + rows * length
        qs, ks, vs = (x[start:end].view(rows, length, *x.shape[1:]).transpose(1, 2) for x in (q, k, v))
        out[start:end] = scaled_dot_product_attention(qs, ks, vs, scale=scale).transpose(1, 2).flatten(0, 1)
        start = end
    return out


@attend_by_length.register_fake
def _(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, lengths: torch.Tensor, scale: float) -> torch.Tensor:
    """Return an empty tensor of the attention's shape, type and device: all that torch.compile has to know of it."""
    return torch.empty(q.shape, dtype=q.dtype, device=q.device)
