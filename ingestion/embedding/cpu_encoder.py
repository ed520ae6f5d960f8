"""The model's layers on a CPU, in float32 or in 8 bits, run by CTranslate2.

It brings the products that fit the CPU (oneDNN on AMD, MKL on Intel, Ruy on Arm) and does without padding where it can.
A batch is one call that leaves Python to other threads: in a process that answers requests meanwhile a question takes
8 ms, with PyTorch, which comes back to Python after each of some hundred operations, 30 ms. The layers are those that
FlagEmbedding loaded, converted when the model is loaded: 0.3 s for the stand-in; of BGE-M3's size 8 s (int8 5 s), and
2.3 GB (0.6) in the temporary folder meanwhile. Attention is computed over whole batches: a text of 8 192 tokens takes
4 GB.

On two cores with AVX2, without VNNI. 330 of Django's chunks with the stand-in, tokens/s: 7 800, with PyTorch 6 800, in
8 bits 16 600. One question, quiet: 7 ms, 11, 2. BGE-M3's size with random weights, a question: in one thread 200 ms, in
two 113, with PyTorch 195, in 8 bits 62. Vectors and weights differ from PyTorch's by 2e-6, and by 2e-4 in a text that
spells XLM-RoBERTa's token for padding, whose position counts here. Those of 8 bits, with one scale per token and one
per row of weights, have a cosine to it of at least 0.995 (of a row of dashes 0.98). Tried before for 8 bits: PyTorch's
FBGEMM 1.1-1.3 times as fast as float32 at 0.992-0.996, its ``quantize_dynamic`` 1.4 at 0.90, OpenVINO 0.9 at 0.991.
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

# Smaller layers are faster in one thread: the stand-in's, of 384, take 6.9 ms for a question, in two threads 7.7.
WIDE = 512


class CpuLayers:
    """An ``Encoder`` on a CPU.

    ``module``: FlagEmbedding's BERT or XLM-RoBERTa, in float32. ``dtype``: "float32" or "int8". ``parallel``: how many
    batches compute at a time, each in ``threads`` threads. Raises ModelError.
    """

    def __init__(self, module: Any, dtype: str, *, parallel: int, threads: int) -> None:
        if dtype not in ctranslate2.get_supported_compute_types("cpu"):
            raise ModelError("This CPU has no 8-bit products that CTranslate2 knows.")
        self.config = module.config
        try:
            self._encoder = convert(module, dtype, parallel, threads)
        except Exception as error:  # of the disk, the converter or the engine
            raise ModelError(
                f"The model cannot be converted to {dtype} for this CPU: {error}. That takes layers like BERT's or "
                f"XLM-RoBERTa's and room for them in {tempfile.gettempdir()} (TMPDIR)."
            ) from error

    def __call__(self, stream: Stream) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the hidden states (tokens, size) and the offsets at which texts begin and end."""
        bounds = np.concatenate([[0], np.cumsum(stream.lengths)])
        texts = np.split(stream.ids, bounds[1:-1])
        found = np.asarray(self._encoder.forward_batch([text.tolist() for text in texts]).last_hidden_state)
        read = np.arange(found.shape[1]) < stream.lengths[:, None]
        return torch.from_numpy(found[read]), torch.from_numpy(bounds)

    def tokens_read(self, stream: Stream) -> int:
        """Return how many tokens all but attention is computed for: those of the texts."""
        return len(stream.ids)


def question_threads(module: Any, dtype: str, cores: int) -> int:
    """Return in how many threads one text is read fastest.

    In 8 bits one: CTranslate2 4.8 gives other vectors in several, off by more than 0.5.
    """
    return cores if dtype == "float32" and module.config.hidden_size >= WIDE else 1


def convert(module: Any, dtype: str, parallel: int, threads: int) -> ctranslate2.Encoder:
    """Return the module's layers, written to a temporary folder and read by CTranslate2."""
    before = torch.get_num_threads()
    try:
        with tempfile.TemporaryDirectory(prefix="model-") as folder:
            save(module, dtype, folder)
            return ctranslate2.Encoder(folder, compute_type=dtype, inter_threads=parallel, intra_threads=threads)
    finally:
        torch.set_num_threads(before)  # its own setting is PyTorch's in this thread as well


class Loader(BertLoader):  # type: ignore[misc]
    """CTranslate2's loader for BERT, for XLM-RoBERTa too: the same names, but positions begin after the padding's."""

    def __init__(self, first: int) -> None:
        self.first = first

    def set_position_encodings(self, spec: Any, module: torch.nn.Embedding) -> None:
        spec.encodings = module.weight[self.first :]


def save(module: Any, dtype: str, folder: str) -> None:
    """Write the module's layers in CTranslate2's format."""
    config = module.config
    config.position_embedding_type = "absolute"  # transformers knows no other any more; the loader asks
    with torch.no_grad():
        spec = Loader(first_position(config)).get_model_spec(module)
        spec.config.layer_norm_epsilon = config.layer_norm_eps
        # Only ids are asked for, never words.
        spec.register_vocabulary([str(n) for n in range(config.vocab_size)])
        spec.validate()
        spec.optimize(quantization=None if dtype == "float32" else dtype)
        spec.save(folder)
