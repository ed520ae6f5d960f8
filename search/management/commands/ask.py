"""`manage.py ask QUESTION`: an answer with its sources and the time of every stage."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from contextlib import aclosing
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.management.base import CommandError

from ingestion.exceptions import IngestionError
from ragproject.commands import VersionedCommand
from search.access.caller import OPERATOR
from search.answering import llm
from search.answering.answer import EXTRACTIVE_NOTICE, Found, Timed, answer
from search.answering.citations import Token
from search.answering.draft import Notice
from search.answering.support import Unsupported
from search.answering.thinking import Discard
from search.exceptions import LLMFailed, SearchError
from search.forms import read_question
from search.questions import Question
from search.timings import Timings


class Command(VersionedCommand):
    help = "Answer a question from the indexed documents."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("question")
        parser.add_argument("--source", default="", help="the name of the one source to search")
        parser.add_argument("--version", default="", help="of the product, or all (default: the newest)")
        parser.add_argument("--path", default="", help="only pages below this address or path")
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        timings = Timings()
        try:
            with timings.stage("parse"):
                fields = {"q": options["question"], **{k: options[k] for k in ("source", "version", "path")}}
                question = read_question(fields, OPERATOR, limit=settings.ANSWER_PASSAGES)
            result = async_to_sync(collect)(question, timings)
        except (SearchError, IngestionError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(json.dumps(result) if options["json"] else readable(result))
        if result["error"]:
            raise CommandError(result["error"])


async def collect(question: Question, timings: Timings) -> dict[str, Any]:
    """Return the whole answer with its citations and timings, as --json prints it.

    ``error`` is why the language model failed, when the passages were found already.
    """
    result: dict[str, Any] = {"answer": "", "citations": [], "timings": {}, "mode": "", "notices": [], "error": ""}
    try:
        async with aclosing(answer(question, timings)) as events:
            async for event in events:
                match event:
                    case Found(passages, mode):
                        citations = [
                            {"number": n, **p.as_row(), "section": p.section, "link": p.link}
                            for n, p in enumerate(passages, 1)
                        ]
                        result |= {"citations": citations, "mode": mode}
                    case Token(text):
                        result["answer"] += text
                    case Discard():
                        result["answer"] = ""
                    case Unsupported(missing):
                        result["answer"] += f" (not in the passages: {', '.join(missing)})"
                    case Notice(kind, message) if kind != "thinking":
                        result["notices"].append(message)
                    case Timed(stages):
                        result["timings"] = stages
    except LLMFailed as error:
        result["error"] = str(error)
    finally:
        await llm.close_client()
    return result


def readable(result: dict[str, Any]) -> str:
    """Return the answer, its sources and the time of every stage for people."""
    notice = f"{EXTRACTIVE_NOTICE}\n\n" if result["mode"] == "extractive" and result["citations"] else ""
    sources = "\n".join(
        f"  [{c['number']}] {' › '.join(filter(None, [c['title'], c['section']]))}\n      {c['url']}"
        for c in result["citations"]
    )
    stages = "  ".join(f"{name} {value:g} ms" for name, value in result["timings"].items())
    parts = [notice + result["answer"], *result["notices"], sources, stages]
    return "\n\n".join(filter(None, parts))
