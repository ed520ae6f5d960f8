"""The form that reads a question from a query string, a request body or command-line options.

In: a mapping of strings, and who asks. Out: a ``Question``, or QuestionRefused with a sentence for the reader.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpRequest

from search.access.caller import Caller
from search.exceptions import QuestionRefused
from search.questions import Question

MODES = ("hybrid", "dense", "sparse", "words")
MAX_LIMIT = 50


class TextField(forms.CharField):
    """Text in which a lone surrogate, possible in JSON, is a question mark: no tokenizer and no store takes one."""

    def to_python(self, value: Any) -> str:
        return str(super().to_python(value)).encode(errors="replace").decode()


class SharedFields(dict[str, forms.Field]):
    """Fields that all forms of a class share, because nothing changes them; to copy them takes half of the reading."""

    def __deepcopy__(self, memo: object) -> SharedFields:
        return self


class QuestionForm(forms.Form):
    """``q`` is the question; the others may be left out."""

    q = TextField(error_messages={"required": "Ask a question first."})
    source = TextField(required=False, max_length=200)
    version = TextField(required=False, max_length=100)
    path = TextField(required=False, max_length=2000)
    mode = forms.ChoiceField(
        choices=[(m, m) for m in MODES],
        required=False,
        error_messages={"invalid_choice": f"mode is one of {', '.join(MODES)}."},
    )
    again = forms.BooleanField(required=False)
    limit = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MAX_LIMIT,
        error_messages=dict.fromkeys(
            ("invalid", "min_value", "max_value"), f"limit is a number from 1 to {MAX_LIMIT}."
        ),
    )

    def clean_q(self) -> str:
        text = str(self.cleaned_data["q"])
        if len(text) <= settings.QUESTION_MAX_CHARS:
            return text
        raise forms.ValidationError(
            f"The question has {len(text)} characters; at most {settings.QUESTION_MAX_CHARS} are read. Shorten it."
        )


QuestionForm.base_fields = SharedFields(QuestionForm.base_fields)


def read_question(data: Mapping[str, Any], caller: Caller, *, limit: int) -> Question:
    """Return the caller's question in ``data``; ``limit`` counts when it names none. Raises QuestionRefused."""
    form = QuestionForm(data)
    if not form.is_valid():
        raise QuestionRefused(next(iter(form.errors.values()))[0])
    read = form.cleaned_data
    return Question(
        text=read["q"],
        caller=caller,
        source=read["source"],
        version=read["version"],
        path=read["path"],
        mode=read["mode"] or MODES[0],
        limit=read["limit"] or limit,
        again=read["again"],
    )


def body_of(request: HttpRequest) -> Mapping[str, Any]:
    """Return the fields of a JSON object or of a form. Raises QuestionRefused where the body is neither."""
    if request.content_type != "application/json":
        return request.POST
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise QuestionRefused("The body is not valid JSON.") from error
    if not isinstance(body, dict):
        raise QuestionRefused('The body is to be a JSON object such as {"q": "…"}.')
    return body
