"""Questions and answers: the language model, and what readers may ask for at once."""

from __future__ import annotations

from environs import ValidationError, validate
from limits import parse_many

from ragproject.settings.locations import env, sendable, web_address
from ragproject.settings.model import EMBED_MODEL, STAND_IN


def limits(text: str) -> None:
    """Raise ValidationError for a text that is neither empty nor written like "60/minute;1000/day"."""
    try:
        parse_many(text or "1/second")
    except ValueError as error:
        raise ValidationError("Write limits like 60/minute;1000/day, or nothing.") from error


env.begin("questions and answers")
LLM_BASE_URL = env.text(
    "LLM_BASE_URL",
    "",
    "OpenAI-compatible server, as `http://127.0.0.1:11434/v1`; empty: answers are extracts.",
    validate=web_address,
)
LLM_API_KEY = env.text("LLM_API_KEY", "", "The server's key, if it needs one.", validate=sendable, secret=True)
LLM_MODEL = env.text("LLM_MODEL", "", "The model's name at that server.")
LLM_MAX_TOKENS = env.integer("LLM_MAX_TOKENS", 700, "Tokens of an answer at most.", validate=validate.Range(1))
LLM_TIMEOUT_SECONDS = env.number(
    "LLM_TIMEOUT_SECONDS",
    60.0,
    "Wait for the language model's first words, and then for each next one.",
    validate=validate.Range(0.1),
)
# At three tokens a second, as on a CPU, an answer of 700 tokens takes 233 s.
LLM_ANSWER_SECONDS = env.number(
    "LLM_ANSWER_SECONDS", 600.0, "Time of a whole answer at most.", validate=validate.Range(0.1)
)
LLM_CONTEXT_TOKENS = env.integer(
    "LLM_CONTEXT_TOKENS", 0, "Tokens that the model's context holds; 0: what the server tells, if it does."
)
# Characters of passages that the language model is given; 12 000 are about 3 000 tokens of English, which
# leaves room for the answer in a window of 4 096.
LLM_CONTEXT_CHARS = env.integer(
    "LLM_CONTEXT_CHARS",
    12_000,
    "Characters of passages that the language model is given.",
    validate=validate.Range(500, 1_000_000),
)
ANSWER_CACHE_SECONDS = env.integer(
    "ANSWER_CACHE_SECONDS", 3600, "Answers of the language model are given again for so long; 0: never."
)
# About 4 kB of Redis each.
ANSWER_CACHE_ENTRIES = env.integer("ANSWER_CACHE_ENTRIES", 10_000, "Answers that are kept.", validate=validate.Range(1))
# Measured with the stand-in (``answer_cache``); BGE-M3's cosines were not.
ANSWER_CACHE_COSINE = env.number(
    "ANSWER_CACHE_COSINE",
    0.85 if EMBED_MODEL == STAND_IN else 0.95,
    "How near a question must be to an earlier one with the same best passages to be given its answer.",
    validate=validate.Range(0.5, 1.0),
    default_in_words="0.95; stand-in: 0.85",
)
# Measured with the stand-in (``scope``); BGE-M3's cosines were not.
ANSWER_LEAST_COSINE = env.number(
    "ANSWER_LEAST_COSINE",
    0.3 if EMBED_MODEL == STAND_IN else 0.0,
    "A question is out of scope when the nearest sentences are not as near as this, twice as near if no document has "
    "its words; 0: words alone decide.",
    validate=validate.Range(0, 1),
    default_in_words="0; stand-in: 0.3",
)
# Of the words of 205 expected answers on OpenShift's documentation, five passages as they were found have .700 (1 000
# tokens), eight .758 (1 600), eight that may grow to 360 tokens .781 (2 050), to 480 .804 (2 700). With as many tokens,
# more passages that do not grow have as much, in pieces.
ANSWER_PASSAGE_TOKENS = env.integer(
    "ANSWER_PASSAGE_TOKENS",
    480,
    "Tokens that a passage may grow to by its neighbours for the language model; 0: it stays as it was found.",
    validate=validate.Range(0, 8192),
)
# Two, three or five cost nothing there (.814, .812, .811), one costs .007.
SEARCH_PASSAGES_PER_PAGE = env.integer(
    "SEARCH_PASSAGES_PER_PAGE",
    3,
    "Passages of one page among those found; more only where nothing else is found.",
    validate=validate.Range(1),
)
ANSWER_PASSAGES = env.integer(
    "ANSWER_PASSAGES", 8, "Passages that an answer is made of.", validate=validate.Range(1, 20)
)
# A language model on a GPU writes the 20 tokens of a question in under a second; one on a CPU is not waited for.
REWRITE_SECONDS = env.number(
    "REWRITE_SECONDS",
    3.0,
    "Wait for the language model to rewrite a question; then the plain one is searched for.",
    validate=validate.Range(0.1, 60),
)
# Off: what it is worth depends on the language model, and every question that it takes apart waits for it.
REWRITE_QUESTIONS = env.flag(
    "REWRITE_QUESTIONS", False, "Let the language model take questions of several parts apart before the search."
)
QUESTION_MAX_CHARS = env.integer(
    "QUESTION_MAX_CHARS", 2000, "Characters of a question at most.", validate=validate.Range(1)
)
# What is embedded of a question: its first so many tokens, about 190 words of English. Time grows with them, 50 ms on
# two cores with the stand-in.
QUESTION_MAX_TOKENS = env.integer(
    "QUESTION_MAX_TOKENS", 256, "Tokens of a question that are embedded.", validate=validate.Range(8, 8192)
)
# In one web process. A client is a key, a user, or an address: IPv4, or an IPv6 network of /64.
# Eight are embedded or searched for together, so these are three groups: while one is embedded, another is searched
# for. 32 questions at once take a tenth less time than with 8; a key's first search beside a flood waits 0.1 s longer.
SEARCHES = env.integer("SEARCHES", 24, "Searches that run at once, per web process.", validate=validate.Range(1))
SEARCHES_PER_CLIENT = env.integer(
    "SEARCHES_PER_CLIENT",
    4,
    "Searches of one client that run at once; its others wait for their turn.",
    validate=validate.Range(1),
)
# Twenty coding assistants behind one address may all ask in the same moment.
QUESTIONS_WAITING_PER_CLIENT = env.integer(
    "QUESTIONS_WAITING_PER_CLIENT",
    24,
    "Questions of one client that may wait for a search, per web process.",
    validate=validate.Range(1),
)
QUESTIONS_WAITING = env.integer(
    "QUESTIONS_WAITING",
    64,
    "Questions of all clients that may wait for a search, per web process.",
    validate=validate.Range(1),
)
# Ollama writes one to four at once unless it is told otherwise and lets the others wait without a word: behind more of
# them LLM_TIMEOUT_SECONDS is soon over.
LLM_ANSWERS = env.integer(
    "LLM_ANSWERS", 16, "Answers being written at once, per web process.", validate=validate.Range(1)
)
LLM_ANSWERS_PER_CLIENT = env.integer(
    "LLM_ANSWERS_PER_CLIENT",
    8,
    "Answers being written for one client at once; its others wait for their turn.",
    validate=validate.Range(1),
)
LLM_ANSWERS_WAITING_PER_CLIENT = env.integer(
    "LLM_ANSWERS_WAITING_PER_CLIENT",
    16,
    "Answers of one client that may wait to be written.",
    validate=validate.Range(0),
)
LLM_ANSWERS_WAITING = env.integer(
    "LLM_ANSWERS_WAITING", 64, "Answers of all clients that may wait to be written.", validate=validate.Range(0)
)
# A person who reads asks a few times a minute; a company's people may share one address.
SEARCH_LIMIT = env.text(
    "SEARCH_LIMIT",
    "300/minute",
    "Searches of one caller (a key, a user or an address); empty: no bound.",
    validate=limits,
)
ASK_LIMIT = env.text(
    "ASK_LIMIT", "60/minute;1000/hour", "Questions of one caller that are answered; empty: no bound.", validate=limits
)
SITE_SEARCH_LIMIT = env.text(
    "SITE_SEARCH_LIMIT",
    "6000/minute",
    "Searches of all addresses together, and of all keys and users together; empty: no bound.",
    validate=limits,
)
SITE_ASK_LIMIT = env.text(
    "SITE_ASK_LIMIT",
    "1200/minute",
    "Questions that are answered, of all addresses together, and of all keys and users together; empty: no bound.",
    validate=limits,
)
REQUEST_LIMITS = {"search": (SEARCH_LIMIT, SITE_SEARCH_LIMIT), "ask": (ASK_LIMIT, SITE_ASK_LIMIT)}
# Requests of any kind; each may hold a thread and a connection to the database.
OPEN_REQUESTS_PER_CLIENT = env.integer(
    "OPEN_REQUESTS_PER_CLIENT", 64, "Requests of one client open at once.", validate=validate.Range(1)
)
OPEN_REQUESTS = env.integer("OPEN_REQUESTS", 256, "Requests open at once.", validate=validate.Range(1))
# Chosen for the stand-in: `evaluate --tune` finds 0.55, 0.15, 0.3 on Django's documentation and 0.4, 0, 0.6 on
# OpenShift's, whose labels favour words. BGE-M3's sparse terms are better ones; tune on questions of your own.
SEARCH_WEIGHTS = env.items(
    "SEARCH_WEIGHTS",
    [0.5, 0.2, 0.3],
    "Weights of meaning, the model's sparse terms and words in a search; `manage.py evaluate --tune` finds them.",
    convert=float,
)

# Follow-ups, share links and feedback need the answer that they are about.
ANSWERS_KEPT_DAYS = env.integer(
    "ANSWERS_KEPT_DAYS",
    30,
    "Days that questions and answers of the page and the API are kept, for follow-ups, links, feedback; 0: none are.",
    validate=validate.Range(0, 3650),
)
SHARED_ANSWERS = env.flag("SHARED_ANSWERS", True, "Readers may make links to their answers, which stay until deleted.")
# What a follow-up is understood by. "And in PostgreSQL?" refers to what was said last, rarely to more than that.
CONVERSATION_TURNS = env.integer(
    "CONVERSATION_TURNS", 4, "Earlier questions that a follow-up is understood by.", validate=validate.Range(1, 20)
)
CONVERSATION_HOURS = env.integer(
    "CONVERSATION_HOURS", 24, "A conversation that rests for so long is not gone on with.", validate=validate.Range(1)
)
WIDGET_ORIGINS: list[str] = env.items(
    "WIDGET_ORIGINS", [], "Sites whose pages may hold the widget, as `https://www.example.org`.", convert=str
)
RERANKER = env.text(
    "RERANKER",
    "off",
    "Orders the first passages anew: `local`, the embedding model's `token-vectors`, or a server like "
    "text-embeddings-inference (`tei`) or Cohere (`cohere`).",
    validate=validate.OneOf(["off", "local", "token-vectors", "tei", "cohere"]),
)
RERANK_MODEL = env.text(
    "RERANK_MODEL", "BAAI/bge-reranker-v2-m3", "The cross-encoder by hub id or folder, or its name at the server."
)
RERANK_URL = env.text(
    "RERANK_URL", "", "Where the server ranks, as `http://127.0.0.1:8080/rerank`.", validate=web_address
)
RERANK_API_KEY = env.text("RERANK_API_KEY", "", "The server's key, if it needs one.", validate=sendable, secret=True)
# By arithmetic, 30 pairs of 300 tokens take bge-reranker-v2-m3 30 s on two cores, 0.1 s on a GeForce 4070.
RERANK_CANDIDATES = env.integer(
    "RERANK_CANDIDATES", 30, "Passages that are ordered anew.", validate=validate.Range(2, 200)
)
RERANK_SECONDS = env.number(
    "RERANK_SECONDS", 1.0, "Without an answer by then the order stands.", validate=validate.Range(0.01, 60)
)
# Fused scores lie about between 0 and 1; few are larger.
RERANK_MARGIN = env.number(
    "RERANK_MARGIN",
    0.3,
    "The order stands when the first score is so far ahead of the third; 1: never.",
    validate=validate.Range(0, 1),
)
