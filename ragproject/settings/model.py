"""The model that embeds, its device and its batches, and how long a chunk may be."""

from __future__ import annotations

import os

from environs import validate

from ragproject.settings.locations import DATA_DIR, env

# PyTorch's threads on a CPU sleep while they wait for each other, unless the environment says otherwise. They would
# spin: beside other work on two cores that is 1 000 tokens/s instead of 2 300 for the stand-in, alone 5 180 instead of
# 5 030.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
env.begin("model")
# "stand-in" is a small English model that `manage.py standin_model` assembles from a package.
STAND_IN = "stand-in"
EMBED_MODEL = env.text("EMBED_MODEL", "BAAI/bge-m3", "Model by hub id or folder, or `stand-in`.")
MODEL_PATH = str(DATA_DIR / "models" / STAND_IN) if EMBED_MODEL == STAND_IN else EMBED_MODEL
EMBED_POOLING = env.text(
    "EMBED_POOLING",
    "mean" if EMBED_MODEL == STAND_IN else "cls",
    "`cls` or `mean`: how the model makes one vector of a text.",
    validate=validate.OneOf(["cls", "mean"]),
    default_in_words="cls; stand-in: mean",
)
EMBED_DIMENSION = env.integer(
    "EMBED_DIMENSION",
    384 if EMBED_MODEL == STAND_IN else 1024,
    "Length of the model's vectors.",
    default_in_words="1024; stand-in: 384",
    validate=validate.Range(1),
)
EMBED_DEVICE = env.text(
    "EMBED_DEVICE",
    "auto",
    "Device of the GPU worker: `auto`, `cpu`, `cuda:N` or `mps`.",
    validate=validate.Regexp(r"^(auto|cpu|mps|cuda(:\d+)?)$"),
)
QUERY_DEVICE = env.text(
    "QUERY_DEVICE",
    "cpu",
    "Device that embeds questions, in the web process.",
    validate=validate.Regexp(r"^(auto|cpu|mps|cuda(:\d+)?)$"),
)
QUERY_EMBEDDER = env.text(
    "QUERY_EMBEDDER",
    "web",
    "What embeds questions: `web`, a model in each web process; or `worker`, the embedding worker between its batches.",
    validate=validate.OneOf(["web", "worker"]),
)
EMBED_DTYPE = env.text(
    "EMBED_DTYPE",
    "auto",
    "`float32`; `float16` or `bfloat16` on a GPU; `int8` on a CPU (faster, less exact).",
    validate=validate.OneOf(["auto", "float32", "float16", "bfloat16", "int8"]),
)
# Fuses what lies between the matrix products, for minutes of compiling at the first batches.
EMBED_COMPILE = env.flag("EMBED_COMPILE", False, "Compile the model for CUDA.")
# GeForce cards multiply float16 twice as fast when sums are float16, too: less exact.
EMBED_FP16_ACCUMULATION = env.flag("EMBED_FP16_ACCUMULATION", False, "Faster float16 on GeForce cards, less exact.")
# The model's files must have this SHA-256 (what they have is in the message that refuses them); empty: any.
EMBED_MODEL_SHA256 = env.text("EMBED_MODEL_SHA256", "", "Refuse model files with another checksum; empty: any.")
# Tokens in one forward pass, without padding. 0 chooses by device: 1 024 for each core of a CPU, 512 in
# int8, and 16 384 on CUDA (the default of text-embeddings-inference).
EMBED_BATCH_TOKENS = env.integer("EMBED_BATCH_TOKENS", 0, "Tokens in one pass of the model; 0: by device.")
# Tokens of chunks taken from the rows at once at most, sorted by length before they are cut into batches; less where
# that would be more than 4 s of work. 500 000 are 3 000 chunks, 0.5 s of one H200 at half its limit.
EMBED_CLAIM_TOKENS = env.integer(
    "EMBED_CLAIM_TOKENS",
    500_000,
    "Tokens claimed and sorted at once at most.",
    validate=validate.Range(1000, 2_000_000),
)
# A batch that takes longer will not come back, because a driver or a card hangs: the process is replaced. The longest
# that there is, one text of 8 192 tokens for BGE-M3, is 11.6 TFLOP: 230 s of a core with 50 GFLOP/s.
EMBED_TIME_LIMIT_SECONDS = env.number(
    "EMBED_TIME_LIMIT_SECONDS",
    600.0,
    "A batch that takes longer hangs: its process is replaced.",
    validate=validate.Range(1, 86_400),
)
# On 205 questions about OpenShift with the stand-in, 160, 200, 256 and 320 tokens have nDCG@10 .881, .882, .880, .875
# and recall@5 .951, .941, .937, .932. Chance may make that much; they need 81, 48, 19 and 0 % more rows.
CHUNK_TOKENS = env.integer(
    "CHUNK_TOKENS", 320, "No chunk is longer, heading path included.", validate=validate.Range(32, 8192)
)
