#!/usr/bin/env python
"""Django's command line; `python manage.py help` lists the commands."""

import os
import sys

INTERRUPTED = 130  # what a shell reports of a program that Ctrl-C ended


def main() -> None:
    """Run the command. End with one sentence where the settings or the database cannot be used."""
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import OperationalError, ProgrammingError

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ragproject.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        if "--traceback" in sys.argv:
            raise
        sys.exit(str(error))
    except (OperationalError, ProgrammingError) as error:
        if "--traceback" in sys.argv:
            raise
        said = str(error).strip().rstrip(".")
        has_no_tables = isinstance(error, ProgrammingError) or "no such " in said  # of PostgreSQL, of SQLite
        remedy = "Run `manage.py migrate` (`manage.py up` does so by itself)" if has_no_tables else "Check DATABASE_URL"
        sys.exit(f"The database cannot be used: {said}. {remedy}.")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
