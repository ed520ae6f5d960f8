"""Vectors equal to FlagEmbedding's own, whatever the batch, the text and the device's mood."""

from __future__ import annotations

import gc
import os
import pickle
import platform
import resource
import shutil
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings as django_settings
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from ingestion.benchmarks import random_weights
from ingestion.embedding import conversion, cpu_network
from ingestion.embedding.batching import batches_by_tokens
from ingestion.embedding.conversion import NotConverted
from ingestion.embedding.cpu_network import CpuNetwork
from ingestion.embedding.cpu_threads import BatchExecutor
from ingestion.embedding.embedder import Embedder
from ingestion.embedding.lexical_weights import lexical_weights
from ingestion.embedding.loading import configured_model, load_model, read_model, resolve_dtype, wanted_dtype
from ingestion.embedding.tokenizer import TextTokenizer
from ingestion.exceptions import ChunkTooLarge, DeviceFailed, ModelError
from ingestion.types import ModelSpec, Vectors

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

TEXTS = ["How do I declare a foreign key?", "a", "", "two words " * 100, "naïve café — 東京", "x" * 3000]
ODD = [
    *TEXTS,
    "😀👩‍👩‍👧 🇫🇷",
    "\x00\x01\x1b[31m bell \x07",
    " \t\n ",
    "[CLS] [PAD] [UNK] <s> <pad> </s> <unk> <mask> and the rest",
    "word " * 9000,
    "x" * 5_000_000,
    "‮right to left‬ é́́́",
]


@pytest.fixture(scope="module")
def model(model_path: Path) -> Iterator[Embedder]:
    """Return the model on one thread: several take ten times as long where the cores are shared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield read_model("cpu", configured_model(), "float32")


@pytest.fixture(scope="module")
def in_pytorch(model: Embedder) -> Embedder:
    """Return the model as it runs on other devices; the CPU takes their place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "converted", never_converted)
        return read_model("cpu", configured_model(), "float32")


def never_converted(folder: Path, dtype: str) -> Path:
    raise NotConverted("It cannot be converted.")


@pytest.fixture(scope="module")
def passages() -> list[str]:
    """Return some hundred passages of this project's own prose and code."""
    root = Path(__file__).resolve().parents[3]
    files = [root / "README.md", root / "CHANGELOG.md", *sorted((root / "ingestion").rglob("*.py"))[:60]]
    blocks = [block for file in files for block in file.read_text().split("\n\n")]
    joined = ["\n\n".join(blocks[i : i + 1 + i % 5]) for i in range(0, len(blocks), 5)]
    assert len(joined) > 150
    return [passage[:350] for passage in joined]


@pytest.fixture(scope="module")
def random_model(tmp_path_factory: pytest.TempPathFactory, passages: list[str]) -> ModelSpec:
    """Return a small model with BGE-M3's own kind of network and tokenizer."""
    folder = tmp_path_factory.mktemp("random") / "model"
    shape = random_weights.SHAPES["small"]
    assert random_weights.assemble(folder, shape, passages)
    return ModelSpec(str(folder), "cls", shape.hidden)


def flagembedding(spec: ModelSpec, texts: Sequence[str], max_length: int) -> tuple[Any, Any]:
    from FlagEmbedding import BGEM3FlagModel

    theirs = BGEM3FlagModel(spec.path, pooling_method=spec.pooling, devices="cpu", use_fp16=False)
    found = theirs.encode(list(texts), batch_size=16, return_dense=True, return_sparse=True, max_length=max_length)
    return found["dense_vecs"], found["lexical_weights"]


def assert_equal_to_flagembedding(ours: Sequence[Vectors], theirs: tuple[Any, Any]) -> None:
    for mine, dense, words in zip(ours, *theirs, strict=True):
        assert float(mine.dense @ dense) > 0.9999
        found = dict(zip(map(str, mine.indices.tolist()), mine.weights.tolist(), strict=True))
        assert found == pytest.approx({k: float(w) for k, w in words.items()}, abs=1e-3)


def assert_alike(some: Sequence[Vectors], others: Sequence[Vectors]) -> None:
    for a, b in zip(some, others, strict=True):
        np.testing.assert_allclose(a.dense, b.dense, atol=1e-5)
        np.testing.assert_array_equal(a.indices, b.indices)
        np.testing.assert_allclose(a.weights, b.weights, atol=1e-4)


# --- Equal to FlagEmbedding ------------------------------------------------------------------------


def test_vectors_of_prose_code_and_odd_texts_equal_those_of_flagembedding(model: Embedder, passages: list[str]) -> None:
    texts = [*passages[:90], *ODD]
    theirs = flagembedding(configured_model(), texts, model.max_tokens)
    assert_equal_to_flagembedding(model.embed(texts), theirs)


@pytest.mark.slow
def test_they_do_with_networks_of_bge_m3s_kind_too(
    random_model: ModelSpec, passages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = read_model("cpu", random_model, "float32")
    texts = [*passages[:60], *(text for text in ODD if "<pad>" not in text)]
    found = ours.embed(texts)
    assert len({vector.weights.tobytes() for vector in found}) > 60
    assert_equal_to_flagembedding(found, flagembedding(random_model, texts, ours.max_tokens))
    monkeypatch.setattr(conversion, "converted", never_converted)
    in_pytorch = read_model("cpu", random_model, "float32")
    assert_alike(in_pytorch.embed(texts), found)
    # On a CPU positions go on where RoBERTa's are counted without the padding's token; PyTorch's are RoBERTa's.
    padded = [text for text in ODD if "<pad>" in text]
    assert_equal_to_flagembedding(in_pytorch.embed(padded), flagembedding(random_model, padded, ours.max_tokens))
    assert min(cosines(ours, in_pytorch, ODD)) > 0.999


def test_pytorch_where_it_runs_the_layers_gives_the_same_vectors(
    model: Embedder, in_pytorch: Embedder, passages: list[str]
) -> None:
    from ingestion.embedding.packed_encoder import TorchNetwork

    assert (type(model.network), type(in_pytorch.network)) == (CpuNetwork, TorchNetwork)
    texts = [*passages[:60], *ODD]
    assert_alike(in_pytorch.embed(texts), model.embed(texts))


def test_layers_that_cannot_be_converted_run_in_pytorch_and_the_log_says_why(
    model_path: Path, settings: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DATA_DIR = tmp_path / "file"
    settings.DATA_DIR.write_text("no folder")
    assert not isinstance(read_model("cpu", configured_model(), "float32").network, CpuNetwork)
    assert "let it be written to. Until the next start PyTorch runs it" in caplog.text
    with pytest.raises(ModelError, match=r"Make room in .*/models/converted, .*EMBED_DTYPE=auto does without"):
        read_model("cpu", configured_model(), "int8")


def test_a_model_is_converted_once_and_again_when_a_file_of_it_is_another(
    copy_of_model: Path, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DATA_DIR = tmp_path
    old = tmp_path / "models" / "converted" / "unused"
    old.mkdir(parents=True)
    os.utime(old, (0, 0))
    first = conversion.converted(copy_of_model, "float32")
    assert [each.name for each in first.parent.iterdir() if each.is_dir()] == [first.name]
    monkeypatch.setattr(conversion, "write", lambda *arguments: pytest.fail("it is there"))
    (first.parent / ".lock").unlink()
    (first.parent / ".lock").mkdir()  # as where DATA_DIR may only be read
    assert conversion.converted(copy_of_model, "float32") == first
    replace(copy_of_model / "tokenizer_config.json", b"{}")
    assert conversion.digest(copy_of_model) not in first.name


@pytest.mark.slow
def test_a_precision_that_the_cpu_lacks_is_no_fault_of_the_model(model_path: Path) -> None:
    with pytest.raises(NotConverted, match=r"converted to int3 .* no 8-bit products .* layers like BERT's"):
        conversion.converted(model_path, "int3")


@pytest.mark.slow
def test_questions_have_all_cores_where_that_helps(random_model: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    narrow = read_model("cpu", random_model, "float32", questions=True)
    monkeypatch.setattr(cpu_network, "WIDE", 64)
    models = [
        read_model("cpu", random_model, "float32", questions=True),
        read_model("cpu", random_model, "float32"),
        read_model("cpu", random_model, "int8", questions=True),
    ]
    assert [each.executor.parallel for each in (narrow, *models)] == [2, 1, 2, 2]
    assert_alike(models[0].embed(TEXTS), models[1].embed(TEXTS))


@pytest.mark.slow
def test_a_cpu_needs_no_pytorch_and_all_threads_have_as_many_cores(model_path: Path, model: Embedder) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD_TWICE],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "ragproject.settings", "OMP_NUM_THREADS": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["3", "3"]


LOAD_TWICE = """
import sys
import threading
import django
django.setup()
from ingestion.embedding.loading import configured_model, read_model

def load():
    embedder = read_model("cpu", configured_model(), "float32")
    embedder.embed(["a word"] * 1000)
    print(embedder.executor.parallel)

for _ in range(2):
    thread = threading.Thread(target=load)
    thread.start()
    thread.join()
loaded = {"torch", "transformers", "FlagEmbedding"} & set(sys.modules)
sys.exit(f"loaded: {loaded}" if loaded else 0)
"""


def test_similar_texts_are_closer_than_others(model: Embedder) -> None:
    question, near, far = model.embed(
        ["How do I join two tables?", "A query that spans relationships between models", "Bake bread for an hour"]
    )
    assert question.dense @ near.dense > question.dense @ far.dense


# --- Any text --------------------------------------------------------------------------------------


def test_a_lone_surrogate_costs_one_character_and_no_other_text(model: Embedder) -> None:
    found = model.embed(["before \ud800 after", *TEXTS, "\udfff"])
    assert_alike(found, model.embed(["before ? after", *TEXTS, "?"]))


def test_a_word_of_megabytes_is_cut_before_the_tokenizer_sees_it(model: Embedder) -> None:
    cut = TextTokenizer(model.tokenizer, model.max_tokens)
    real: Any = cut._tokenizer
    seen: list[int] = []

    class Watched:
        def encode_batch_fast(self, texts: list[str]) -> Any:
            seen.extend(map(len, texts))
            return real.encode_batch_fast(texts)

    cut._tokenizer = Watched()  # type: ignore[assignment]
    found = cut(["ab " * 2_000_000, "x" * 5_000_000])
    assert [len(ids) for ids in found] == [model.max_tokens, 3]
    assert max(seen) < 100 * model.max_tokens


@example_settings(max_examples=12)
@given(texts=st.lists(st.text(st.characters(exclude_categories=()), max_size=60), min_size=1, max_size=6))
def test_any_text_gets_a_vector_of_unit_length(texts: list[str], model: Embedder) -> None:
    for found in model.embed(texts):
        assert float(np.linalg.norm(found.dense)) == pytest.approx(1, abs=1e-4)
        assert (np.diff(found.indices.astype(int)) > 0).all()
        assert (found.weights > 0).all()


def test_nothing_to_embed_is_no_batch(model: Embedder) -> None:
    assert model.embed([]) == []


# --- Batches ---------------------------------------------------------------------------------------


def variant(
    model: Embedder, *, batch_tokens: int, in_flight: int = 1, parallel: int = 1, network: Any = None
) -> Embedder:
    executor = BatchExecutor(parallel)
    network = network or model.network
    return Embedder(network, model.tokenizer, model.unused_ids, "cpu", batch_tokens, in_flight, executor)


def test_a_vector_does_not_depend_on_its_batch(model: Embedder) -> None:
    assert_alike(model.embed(TEXTS), [model.embed([text])[0] for text in TEXTS])


def test_tokens_made_earlier_by_several_threads_give_the_same_vectors(model: Embedder) -> None:
    made: dict[int, Any] = {}

    def tokenise(number: int) -> None:
        for _ in range(10):
            made[number] = model.tokenise(TEXTS)

    threads = [threading.Thread(target=tokenise, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    for ids in made.values():
        found = {
            p: v for positions, vectors in model.embed_tokens(ids) for p, v in zip(positions, vectors, strict=True)
        }
        assert_alike([found[i] for i in range(len(TEXTS))], model.embed(TEXTS))


def test_batches_in_flight_are_all_delivered_and_nothing_is_mixed_up(model: Embedder) -> None:
    ahead = variant(model, batch_tokens=64, in_flight=3)
    texts = [f"text number {n} " * (1 + n % 7) for n in range(40)]
    assert_alike(ahead.embed(texts), model.embed(texts))
    assert ahead.figures().texts == 40


def test_the_next_batches_are_started_before_the_first_is_awaited(
    model: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = variant(model, batch_tokens=8, in_flight=3)
    said: list[str] = []

    def told(word: str, call: Any) -> Any:
        def telling(*args: Any) -> Any:
            said.append(word)
            return call(*args)

        return telling

    monkeypatch.setattr(ahead, "_start", told("start", ahead._start))
    monkeypatch.setattr(ahead, "_waited", told("finish", ahead._waited))
    ahead.embed(["one two three four five six"] * 5)
    assert said == ["start"] * 3 + ["finish", "start"] * 2 + ["finish"] * 3


def test_figures_count_tokens_without_padding(model: Embedder) -> None:
    counted = variant(model, batch_tokens=100)
    ids = counted.tokenise(TEXTS)
    list(counted.embed_tokens(ids))
    figures = counted.figures()
    assert (figures.texts, figures.tokens) == (len(TEXTS), sum(map(len, ids)))
    assert figures.padded_tokens == figures.tokens
    assert figures.seconds > 0


def test_a_long_batch_is_filled_to_a_round_size_that_shows_in_the_figures_alone(
    model: Embedder, in_pytorch: Embedder
) -> None:
    texts = [f"text number {n} says something of its own " * 10 for n in range(15)]
    filled, as_it_is = variant(in_pytorch, batch_tokens=4096), variant(model, batch_tokens=4096)
    for counted in (filled, as_it_is):
        assert_alike(counted.embed(texts), [model.embed([text])[0] for text in texts])
    figures = filled.figures()
    assert 1024 < figures.tokens < figures.padded_tokens
    assert figures.padded_tokens % 64 == 0
    assert as_it_is.figures().padded_tokens == as_it_is.figures().tokens == figures.tokens


def test_batches_side_by_side_give_the_same_vectors(model: Embedder) -> None:
    texts = [f"text number {n} " * (1 + n % 90) for n in range(80)]
    busy: list[str] = []
    forward = type(model.network).__call__

    class Watched:
        """The network, and the threads that it runs in."""

        config, tokens_read = model.network.config, model.network.tokens_read

        def __call__(self, stream: Any) -> Any:
            busy.append(threading.current_thread().name)
            return forward(model.network, stream)

    side_by_side = variant(model, batch_tokens=512, in_flight=2, parallel=3, network=Watched())
    assert_alike(side_by_side.embed(texts), variant(model, batch_tokens=512).embed(texts))
    assert {"batch_0", "batch_1", "batch_2"} <= set(busy)
    assert threading.current_thread().name not in busy


def test_the_next_texts_start_when_the_last_of_these_have(model: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the last batch of the first caller computes in one thread, the other thread has the second caller's."""
    forward, beside = type(model.network).__call__, threading.Barrier(2)

    def meeting(network: Any, stream: Any) -> Any:
        beside.wait(20)  # nobody meets anybody where the second one waits for the first one's results
        return forward(network, stream)

    monkeypatch.setattr(type(model.network), "__call__", meeting)
    shared = variant(model, batch_tokens=40, in_flight=1, parallel=2)
    ids = shared.tokenise(["many words " * 10 for _ in range(3)])
    with ThreadPoolExecutor(2) as callers:
        both = list(callers.map(lambda _: list(shared.embed_tokens(ids)), range(2)))
    assert [len(found) for found in both] == [3, 3]


def test_what_nobody_waits_for_any_more_is_not_computed(model: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    forward, computed, go_on = type(model.network).__call__, [], threading.Event()

    def slow(network: Any, stream: Any) -> Any:
        computed.append(stream)
        if len(computed) > 2:
            go_on.wait(10)
        return forward(network, stream)

    monkeypatch.setattr(type(model.network), "__call__", slow)
    left = variant(model, batch_tokens=300, in_flight=4, parallel=2)
    results = left.embed_tokens(left.tokenise(["many words " * 100 for _ in range(20)]))
    next(results)
    results.close()  # type: ignore[attr-defined]
    go_on.set()
    left.executor._pool.shutdown()
    assert len(computed) <= 4  # one taken, and one in each thread after it


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_what_a_batch_frees_is_not_asked_of_the_system_again(model: Embedder) -> None:
    """One window after another, as an ingest has them: a page fault for every 4 KiB would be thousands each."""
    ids = model.tokenise([f"{n} words " * (20 + n % 50) for n in range(60)])
    windows = [ids[start : start + 20] for start in range(0, 60, 20)]

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for window in windows:
            list(model.embed_tokens(window))
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    assert min(faults() for _ in range(5)) < 500


@given(st.lists(st.integers(1, 600), max_size=300), st.integers(300, 5000), st.integers(2, 8))
def test_few_texts_are_divided_equally_among_batches_side_by_side(
    lengths: list[int], budget: int, parallel: int
) -> None:
    batches = list(batches_by_tokens(lengths, budget, parallel))
    assert sorted(i for b in batches for i in b) == list(range(len(lengths)))
    sizes = [sum(lengths[i] for i in b) for b in batches]
    assert all(len(b) == 1 or size <= budget for b, size in zip(batches, sizes, strict=True))
    if sum(lengths) / parallel + max(lengths, default=0) <= budget:
        assert len(batches) == min(parallel, len(lengths))
        assert max(sizes, default=0) - min(sizes, default=0) <= max(lengths, default=0)


@given(st.lists(st.integers(1, 600), max_size=60), st.integers(50, 5000))
def test_batches_cover_everything_once_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = list(batches_by_tokens(lengths, budget))
    assert sorted(i for b in batches for i in b) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or sum(lengths[i] for i in batch) <= budget
    for batch, after in pairwise(batches):
        assert sum(lengths[i] for i in batch) + lengths[after[0]] > budget


@given(st.lists(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 9, width=32)), min_size=1, max_size=6), min_size=1))
def test_lexical_weights_keep_the_largest_weight_of_each_word(rows: list[list[tuple[int, float]]]) -> None:
    ids = np.array([i for row in rows for i, _ in row])
    weights = np.array([w for row in rows for _, w in row], np.float32)
    lengths = np.array([len(row) for row in rows])
    for row, (words, values) in zip(rows, lexical_weights(ids, weights, lengths), strict=True):
        assert dict(zip(words.tolist(), values.tolist(), strict=True)) == {
            i: max(w for j, w in row if j == i) for i, w in row if any(w > 0 for j, w in row if j == i)
        }


# --- When the device gives up ----------------------------------------------------------------------


@pytest.fixture
def small_device(model: Embedder, monkeypatch: pytest.MonkeyPatch) -> Embedder:
    """Return an embedder on a device with memory for 60 tokens at once."""
    import torch

    forward = type(model.network).__call__

    def limited(network: Any, stream: Any) -> Any:
        if len(stream.ids) > 60:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(network, stream)

    monkeypatch.setattr(type(model.network), "__call__", limited)
    return variant(model, batch_tokens=1000, in_flight=2)


def test_exhausted_memory_halves_the_batch_and_loses_nothing(small_device: Embedder, model: Embedder) -> None:
    texts = [f"text number {n} of many" for n in range(30)]
    found = small_device.embed(texts)
    assert len(found) == 30
    assert_alike(found[:3], [small_device.embed([text])[0] for text in texts[:3]])


@pytest.mark.parametrize("parallel", [1, 2])
def test_the_failed_batchs_memory_is_free_when_its_halves_are_tried(
    model: Embedder, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, parallel: int
) -> None:
    import torch

    forward, held, failed = type(model.network).__call__, weakref.WeakSet[Any](), 0

    def limited(network: Any, stream: Any) -> Any:
        nonlocal failed
        if len(stream.ids) > 400:
            failed += 1
            activations = torch.empty(10)
            held.add(activations)
            raise torch.OutOfMemoryError("CUDA out of memory")
        assert not held or len(stream.ids) > 300  # a batch that computes beside the one that failed
        return forward(network, stream)

    monkeypatch.setattr(type(model.network), "__call__", limited)
    small = variant(model, batch_tokens=600, parallel=parallel)
    request.addfinalizer(gc.enable)
    gc.disable()
    # 382, 210 and 206 tokens: side by side a batch of one text and one of two, in turn one of two and one.
    assert len(small.embed(["many words " * times for times in (190, 104, 102)])) == 3
    assert failed == 1


def test_a_text_that_exhausts_it_alone_is_named_after_all_others_are_done(small_device: Embedder) -> None:
    ids = small_device.tokenise(["short", "far too long " * 100, "short too"])
    done: list[int] = []

    def embed_all() -> None:
        for positions, _ in small_device.embed_tokens(ids):
            done.extend(positions)

    with pytest.raises(ChunkTooLarge, match="alone exhausts the memory") as refused:
        embed_all()
    assert refused.value.position == 1
    assert sorted(done) == [0, 2]


def test_a_cpus_exhausted_memory_counts_as_such(model: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: Any) -> Any:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    monkeypatch.setattr(type(model.network), "__call__", exhausted)
    with pytest.raises(ChunkTooLarge):
        model.embed(["any"])


def test_any_other_error_says_that_the_device_is_lost(model: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(type(model.network), "__call__", broken)
    with pytest.raises(DeviceFailed, match="device-side assert"):
        model.embed(["any"])
    with pytest.raises(DeviceFailed):
        model.check()


def test_an_error_that_shows_only_with_the_result_says_so_too(model: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    from ingestion.embedding.cpu_network import Computed

    def broken(_: Any) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(Computed, "wait", broken)
    with pytest.raises(DeviceFailed, match="illegal memory access"):
        model.embed(["any"])


def test_health_is_a_real_embedding(model: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    model.check()
    nothing = Vectors(np.full(model.dimension, np.nan, np.float32), np.empty(0, np.uint32), np.empty(0, np.float32))
    monkeypatch.setattr(model, "embed", lambda texts: [nothing])
    with pytest.raises(DeviceFailed, match="unit length"):
        model.check()


# --- Precision -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(model: Embedder) -> Embedder:
    return read_model("cpu", configured_model(), "int8")


def cosines(some: Embedder, other: Embedder, texts: list[str]) -> list[float]:
    return [float(a.dense @ b.dense) for a, b in zip(some.embed(texts), other.embed(texts), strict=True)]


def test_eight_bits_stay_close_to_full_precision(model: Embedder, small: Embedder, passages: list[str]) -> None:
    found = cosines(model, small, [passage for passage in passages if "-----" not in passage][:60])
    assert min(found) > 0.99  # a row of dashes alone: 0.98
    assert min(found) < 0.99999  # it is not float32 under another name


@pytest.mark.slow
def test_eight_bits_keep_the_lexical_weights(random_model: ModelSpec, passages: list[str]) -> None:
    exact, small = (read_model("cpu", random_model, dtype) for dtype in ("float32", "int8"))
    for a, b in zip(exact.embed(passages[:40]), small.embed(passages[:40]), strict=True):
        first, second = dict(zip(a.indices, a.weights, strict=True)), dict(zip(b.indices, b.weights, strict=True))
        for word in first.keys() | second.keys():
            assert first.get(word, 0) == pytest.approx(second.get(word, 0), abs=0.05)


def test_eight_bits_read_up_to_the_last_position(random_model: ModelSpec) -> None:
    """XLM-RoBERTa's positions begin behind the padding's."""
    exact, small = (read_model("cpu", random_model, dtype) for dtype in ("float32", "int8"))
    texts = ["one word", " ".join(f"word{n}" for n in range(2 * exact.max_tokens))]
    assert len(exact.tokenise(texts)[1]) == exact.max_tokens
    assert min(cosines(exact, small, texts)) > 0.99


def test_eight_bits_read_each_text_of_a_batch_as_alone(small: Embedder) -> None:
    texts = ["short", "of middling length " * 12, "long enough to pad the others " * 30]
    alone = [small.embed([text])[0] for text in texts]
    # A sum in another order, as on a busy machine, may round bytes the other way: 0.9996 was seen. Padding that were
    # read would be far off.
    assert min(float(a.dense @ b.dense) for a, b in zip(small.embed(texts), alone, strict=True)) > 0.999


def test_eight_bits_too_are_halved_when_memory_is_exhausted(small: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the words of CTranslate2's allocator under a real limit."""
    read, sizes = type(small.network).__call__, []

    def limited(network: Any, stream: Any) -> Any:
        sizes.append(len(stream.lengths))
        if len(stream.lengths) > 2:
            raise RuntimeError("mkl_malloc: failed to allocate memory")
        return read(network, stream)

    texts = [f"text number {n}" for n in range(8)]
    expected = small.embed(texts)
    monkeypatch.setattr(type(small.network), "__call__", limited)
    assert_alike(small.embed(texts), expected)
    assert sizes == [8, 4, 2, 2, 4, 2, 2]


def test_without_room_for_temporary_files_the_disk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        """What an import of PyTorch ends with on a full disk."""

        def find_spec(self, name: str, *others: Any) -> None:
            if name == "torch":
                raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(sys, "meta_path", [Full(), *sys.meta_path])
    with pytest.raises(ModelError, match=r"No usable temporary directory.*Make room on the disks"):
        load_model.__wrapped__("cuda:0")


def test_the_compiled_network_gives_the_same_vectors(
    model: Embedder, in_pytorch: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from ingestion.embedding.packed_encoder import Layers, TorchNetwork

    compile_it = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **k: compile_it(f, backend="eager", fullgraph=True, **k))
    plain: Any = in_pytorch.network
    compiled = TorchNetwork(Layers(plain.layers.module, compiled=True), plain.head, plain.token_head, plain.pooling)
    found = variant(model, batch_tokens=200, network=compiled).embed(TEXTS)
    assert_alike(found, model.embed(TEXTS))


def test_the_attention_of_cuda_is_asked_for_the_same_texts(
    in_pytorch: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch has no variable-length attention for CPUs: a plain one takes its place, with its conventions."""
    import torch
    import torch.nn.attention.varlen as varlen

    def plain(q: Any, k: Any, v: Any, starts: Any, others: Any, longest: int, other: int, *, scale: float) -> Any:
        assert q.shape == k.shape == v.shape == (int(starts[-1]), 12, 32)
        assert starts.dtype == torch.int32
        assert starts is others
        assert longest == other == int(starts.diff().max())
        parts = [slice(a, b) for a, b in pairwise(starts.tolist())]
        scores = [torch.einsum("qhd,khd->hqk", q[p], k[p]) * scale for p in parts]
        return torch.cat(
            [torch.einsum("hqk,khd->qhd", s.softmax(-1), v[p]) for s, p in zip(scores, parts, strict=True)]
        )

    expected = in_pytorch.embed(TEXTS)
    monkeypatch.setattr(varlen, "varlen_attn", plain)
    network: Any = in_pytorch.network
    monkeypatch.setattr(network.layers, "flash", True)
    assert_alike(in_pytorch.embed(TEXTS), expected)


def test_that_attention_is_used_only_where_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from ingestion.embedding.packed_attention import has_flash

    def card(kind: str, dtype: Any) -> Any:
        return type("Weight", (), {"device": torch.device(kind), "dtype": dtype})

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 9))
    assert has_flash(card("cuda", torch.float16), 64)
    assert not has_flash(card("cuda", torch.float32), 64)
    assert not has_flash(card("cpu", torch.float16), 64)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert not has_flash(card("cuda", torch.float16), 64)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bits_on_a_cpu_are_refused_with_the_reason(settings: Any, dtype: str) -> None:
    settings.EMBED_DTYPE = dtype
    with pytest.raises(ModelError, match="100 times slower"):
        load_model.__wrapped__("cpu")


def test_eight_bits_elsewhere_than_on_a_cpu_are_refused() -> None:
    with pytest.raises(ModelError, match="for CPUs"):
        resolve_dtype("cuda:0", "int8")


def test_the_cards_precision_does_not_bind_the_web_process(settings: Any) -> None:
    settings.EMBED_DTYPE, settings.EMBED_DEVICE = "float16", "auto"
    assert resolve_dtype("cuda:0", wanted_dtype("auto")) == "float16"
    assert resolve_dtype("cpu", wanted_dtype("cpu")) == "float32"
    settings.EMBED_DTYPE = "auto"
    assert resolve_dtype("cuda:0", wanted_dtype("auto")) == "float16"


def test_a_cuda_device_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match="no CUDA device"):
        load_model.__wrapped__("cuda:3")


# --- The model's files -----------------------------------------------------------------------------


@pytest.fixture
def copy_of_model(model_path: Path, tmp_path: Path, settings: Any) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(model_path, folder, copy_function=os.link)
    settings.MODEL_PATH = str(folder)
    return folder


def replace(file: Path, content: bytes) -> None:
    """Replace a file without writing through a hard link."""
    file.unlink()
    file.write_bytes(content)


def test_a_missing_model_folder_is_named(settings: Any, tmp_path: Path) -> None:
    settings.MODEL_PATH = str(tmp_path / "nothing")
    with pytest.raises(ModelError, match="does not exist"):
        load_model.__wrapped__("cpu")


def test_a_damaged_model_folder_is_named(copy_of_model: Path) -> None:
    replace(copy_of_model / "model.safetensors", b"cut off")
    with pytest.raises(ModelError, match=r"cannot be loaded.*complete model"):
        load_model.__wrapped__("cpu")


@pytest.mark.parametrize("name", ["sparse_linear.pt", "colbert_linear.pt"])
def test_a_model_without_its_heads_is_refused_for_they_would_be_random(copy_of_model: Path, name: str) -> None:
    (copy_of_model / name).unlink()
    with pytest.raises(ModelError, match=f"lacks {name}"):
        load_model.__wrapped__("cpu")


def test_a_model_of_another_dimension_is_refused(settings: Any, model_path: Path) -> None:
    settings.EMBED_DIMENSION = 1024
    with pytest.raises(ModelError, match="384 dimensions"):
        load_model.__wrapped__("cpu")


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("name", ["sparse_linear.pt", "pytorch_model.bin"])
def test_code_in_a_models_file_is_not_run(copy_of_model: Path, tmp_path: Path, name: str) -> None:
    (copy_of_model / "model.safetensors").unlink()
    (copy_of_model / name).unlink(missing_ok=True)
    (copy_of_model / name).write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model.__wrapped__("cpu")
    assert not (tmp_path / "exploded").exists()


def test_a_model_is_taken_only_with_the_hash_that_is_pinned(copy_of_model: Path, settings: Any) -> None:
    from ingestion.embedding.model_files import fingerprint

    settings.EMBED_MODEL_SHA256 = fingerprint(copy_of_model).upper()
    assert load_model.__wrapped__("cpu").dimension == 384
    head = (copy_of_model / "sparse_linear.pt").read_bytes()
    replace(copy_of_model / "sparse_linear.pt", head[:-1] + bytes([head[-1] ^ 1]))
    with pytest.raises(ModelError, match=r"SHA-256 \w{64}.*EMBED_MODEL_SHA256"):
        load_model.__wrapped__("cpu")


def test_a_hub_model_is_downloaded_without_what_nobody_reads(
    model_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    asked: dict[str, Any] = {}

    def download(name: str, **options: Any) -> str:
        asked.update(name=name, **options)
        return str(model_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    settings.MODEL_PATH = "BAAI/bge-m3"
    assert load_model.__wrapped__("cpu").dimension == 384
    assert asked["name"] == "BAAI/bge-m3"
    assert "onnx/*" in asked["ignore_patterns"]


def test_the_network_stays_where_it_was_put_when_flagembedding_lets_go(
    model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its object moves its module to the CPU when it is collected."""
    import torch

    moved: list[object] = []
    move = torch.nn.Module.to

    def watched(module: Any, *args: Any, **options: Any) -> Any:
        moved.append(args)
        return move(module, *args, **options)

    monkeypatch.setattr(torch.nn.Module, "to", watched)
    monkeypatch.setattr(conversion, "converted", never_converted)
    network: Any = load_model.__wrapped__("cpu").network
    gc.collect()
    assert network.layers.weight.device.type == "cpu"
    assert moved == [()]


@pytest.mark.parametrize(
    ("name", "path"), [("BAAI/bge-m3", False), ("/models/bge-m3", True), ("./m", True), ("m", True)]
)
def test_hub_ids_and_folders_are_told_apart(name: str, path: bool) -> None:
    from ingestion.embedding.model_files import looks_like_path

    assert looks_like_path(name) is path


def test_one_model_is_loaded_for_all_who_ask(model_path: Path) -> None:
    assert load_model("cpu") is load_model("cpu")
    assert django_settings.EMBED_DEVICE == "cpu"
