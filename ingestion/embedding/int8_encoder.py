"""The model's layers in 8 bits, for CPUs, run by CTranslate2.

It brings the byte products that fit the CPU (oneDNN on AMD, MKL on Intel, Ruy on Arm), with one scale per token and one
per row of weights, and does without padding where it can. The layers are those that FlagEmbedding loaded, converted
when the model is loaded: 0.3 s for the stand-in; of BGE-M3's size 11 s, and 0.6 GB in the temporary folder meanwhile.
Attention is computed over whole batches: a text of 8 192 tokens takes 4 GB.

120 of Django's chunks with the stand-in on two cores with AVX2, without VNNI: 1.6-1.85 times as fast as float32, dense
cosine to it at least 0.995 (of a row of dashes 0.98). BGE-M3's size with random weights: 350 tokens/s instead of 202,
the process 1.3 GB instead of 2.0, cosine at least 0.997. Tried before: PyTorch's FBGEMM 1.1-1.3 times at 0.992-0.996
depending on where the scales are, its ``quantize_dynamic`` 1.4 at 0.90, OpenVINO 0.9 at 0.991.
"""

from __future__ import annotations

import tempfile
from typing import Any

import ctranslate2
import numpy as np
import torch
from ctranslate2.converters.transformers import BertLoader

from ingestion.embedding.packed_encoder import Stream
from ingestion.embedding.tokenizer import first_position
from ingestion.exceptions import ModelError


class Int8Layers:
    """An ``Encoder`` in 8 bits.

    ``module``: FlagEmbedding's BERT or XLM-RoBERTa, in float32. ``parallel``: how many batches compute at a time, each
    on one core. Raises ModelError.
    """

    def __init__(self, module: Any, parallel: int) -> None:
        if "int8" not in ctranslate2.get_supported_compute_types("cpu"):
            raise ModelError("This CPU has no 8-bit products that CTranslate2 knows. Set EMBED_DTYPE=auto.")
        self.config = module.config
        try:
            self._encoder = convert(module, parallel)
        except Exception as error:  # of the disk, the converter or the engine
            raise ModelError(
                f"The model cannot be brought to 8 bits: {error}. That takes layers like BERT's or XLM-RoBERTa's and "
                f"room for them in {tempfile.gettempdir()} (TMPDIR); EMBED_DTYPE=auto does without."
            ) from error

    def __call__(self, stream: Stream) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the hidden states (tokens, size) and the offsets at which texts begin and end."""
        bounds = np.concatenate([[0], np.cumsum(stream.lengths)])
        texts = np.split(stream.ids, bounds[1:-1])
        found = np.asarray(self._encoder.forward_batch([text.tolist() for text in texts]).last_hidden_state)
        read = np.arange(found.shape[1]) < stream.lengths[:, None]
        return torch.from_numpy(found[read]), torch.from_numpy(bounds)


def convert(module: Any, parallel: int) -> ctranslate2.Encoder:
    """Return the module's layers in 8 bits, written to a temporary folder and read by CTranslate2."""
    threads = torch.get_num_threads()
    try:
        with tempfile.TemporaryDirectory(prefix="int8-") as folder:
            save(module, folder)
            return ctranslate2.Encoder(folder, compute_type="int8", inter_threads=parallel, intra_threads=1)
    finally:
        torch.set_num_threads(threads)  # its own setting, 1, is PyTorch's in this thread as well


class Loader(BertLoader):  # type: ignore[misc]
    """CTranslate2's loader for BERT, for XLM-RoBERTa too: the same names, but positions begin after the padding's."""

    def __init__(self, first: int) -> None:
        self.first = first

    def set_position_encodings(self, spec: Any, module: torch.nn.Embedding) -> None:
        spec.encodings = module.weight[self.first :]


def save(module: Any, folder: str) -> None:
    """Write the module's layers in CTranslate2's format, quantized to 8 bits."""
    config = module.config
    config.position_embedding_type = "absolute"  # transformers knows no other any more; the loader asks
    with torch.no_grad():
        spec = Loader(first_position(config)).get_model_spec(module)
        spec.config.layer_norm_epsilon = config.layer_norm_eps
        # Only ids are asked for, never words.
        spec.register_vocabulary([str(n) for n in range(config.vocab_size)])
        spec.validate()
        spec.optimize(quantization="int8")
        spec.save(folder)
