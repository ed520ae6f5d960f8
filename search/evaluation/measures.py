"""Ranked documents of judged questions → the measures of the field, for each question and as means with intervals.

The measures are ir_measures': recall, reciprocal rank, nDCG (with relevance as gain) and average precision. Intervals
are of 95 %, by a bootstrap over the questions, and the same in each run. Of a question with an expected answer also
the share of the answer's words that the passages hold, which needs no judge.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ingestion.words.language import language_of
from ingestion.words.terms import terms_of, tokens
from search.evaluation.question_sets import JudgedQuestion

CUTOFFS = (1, 3, 5, 10)
RESAMPLES = 2000
INTERVAL = (2.5, 97.5)
DIGITS = 4

# Question id -> measure -> value.
Values = dict[str, dict[str, float]]


def measure(questions: Iterable[JudgedQuestion], ranked: Mapping[str, Sequence[str]]) -> Values:
    """Return every measure of each question; ``ranked`` has its documents from the best on."""
    import ir_measures
    from ir_measures import AP, RR, R, nDCG

    names: dict[Any, str] = {R @ k: f"recall@{k}" for k in CUTOFFS}
    names |= {RR @ 10: "mrr@10", nDCG @ 10: "ndcg@10", AP: "map"}
    qrels = {q.id: dict(q.relevant) for q in questions}
    scores = {id: {name: -float(at) for at, name in enumerate(found)} for id, found in ranked.items()}
    values: Values = {id: dict.fromkeys(names.values(), 0.0) for id in qrels}
    for metric in ir_measures.iter_calc(list(names), qrels, scores):
        values[metric.query_id][names[metric.measure]] = metric.value
    return values


def answer_token_recall(answer: str, passages: Iterable[str]) -> float:
    """Return which share of an expected answer's words, but for function words, the passages hold, by their stems."""
    language = language_of(answer)
    wanted = {token for token in tokens(answer) if token.lower() not in language.frequent_words}
    held = {term for text in passages for token in tokens(text) for term, _ in terms_of(token, language.stemmer)}
    whole = [{term for term, share in terms_of(token, language.stemmer) if share == 1} for token in wanted]
    return sum(not held.isdisjoint(terms) for terms in whole) / len(whole) if whole else 0.0


def means(values: Values) -> dict[str, float]:
    """Return the mean of each measure."""
    columns: defaultdict[str, list[float]] = defaultdict(list)
    for each in values.values():
        for name, value in each.items():
            columns[name].append(value)
    return {name: round(float(np.mean(column)), DIGITS) for name, column in columns.items()}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the bounds between which the mean of such values lies with 95 %."""
    drawn = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(np.asarray(values)[drawn].mean(axis=1), INTERVAL)
    return round(float(low), DIGITS), round(float(high), DIGITS)
