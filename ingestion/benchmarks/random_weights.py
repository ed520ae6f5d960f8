"""A checkpoint of BGE-M3's shape with random weights: as fast as the real one, for machines that reach no hub.

FlagEmbedding, sentence-transformers and this project read it as they read BGE-M3. The tokenizer is trained on the
corpus. It cannot show quality, the real number of tokens, and how many words have a lexical weight (about half do).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SEED = 1
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
# Of texts from all of the corpus, about: training takes 20 s for 2 million characters.
TRAINING_CHARS = 2_000_000


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a network and of its tokenizer: ``words`` of the ``vocabulary`` are trained."""

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    inner: int
    positions: int
    words: int


SHAPES = {
    "full": Shape(250_002, 1024, 24, 16, 4096, 8194, 12_000),
    "small": Shape(2_000, 64, 2, 4, 128, 514, 1_000),
}


def assemble(target: Path, shape: Shape, corpus: Sequence[str]) -> bool:
    """Write the checkpoint to ``target`` unless it is there. Return whether it was written."""
    if (target / "sparse_linear.pt").exists():
        return False
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_tokenizer(partial, shape, corpus)
    save_weights(partial, shape)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    return True


def save_weights(folder: Path, shape: Shape) -> None:
    """Write an encoder of a shape and its two heads with random weights, equal each time."""
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaModel
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.manual_seed(SEED)
    config = XLMRobertaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.inner,
        max_position_embeddings=shape.positions,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )
    XLMRobertaModel(config).save_pretrained(folder)
    torch.save(torch.nn.Linear(shape.hidden, shape.hidden).state_dict(), folder / "colbert_linear.pt")
    torch.save(torch.nn.Linear(shape.hidden, 1).state_dict(), folder / "sparse_linear.pt")


def save_tokenizer(folder: Path, shape: Shape, corpus: Sequence[str]) -> None:
    """Train and write a Unigram tokenizer like XLM-R's, with its special tokens at their ids."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("\n", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=shape.words, special_tokens=list(SPECIAL), unk_token=SPECIAL[3], show_progress=False
    )
    step = sum(map(len, corpus)) // TRAINING_CHARS + 1
    tokenizer.train_from_iterator(list(corpus[::step]), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    names = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    described = {"tokenizer_class": "PreTrainedTokenizerFast", "cls_token": "<s>", "sep_token": "</s>", **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(described))
