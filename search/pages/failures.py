"""The page for an error that no view answered (Django's ``handler500``), in the admin as well.

In: the exception that is being handled. Out: a page with a sentence, and with 503 where time or whoever runs the site
can help. Programs get a problem instead (``api.errors``); the exception is in the log.
"""

from __future__ import annotations

import sys

from django.db import DatabaseError, DataError, IntegrityError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from ragproject.embedded.preflight import database_trouble
from search.api.errors import SENTENCES
from search.exceptions import FAILURES, headers_of, public_message, status_of

# Values that do not fit the tables are mistakes of ours.
MISTAKES = (DataError, IntegrityError)


def server_error(request: HttpRequest) -> HttpResponse:
    """Return the page for the exception that is being handled, with its status and sentence where it has any."""
    error = sys.exc_info()[1]
    shown, status, headers = {"error": SENTENCES[500]}, 500, {}
    if isinstance(error, FAILURES) and not isinstance(error, MISTAKES):
        shown, status, headers = {"error": public_message(error)}, status_of(error), headers_of(error)
    if isinstance(error, DatabaseError) and status == 503:
        shown["operator"] = database_trouble()
    page = render_to_string("search/failed.html", shown)  # without the request: its user is in the database
    return HttpResponse(page, status=status, headers={"Cache-Control": "no-store", **headers})
