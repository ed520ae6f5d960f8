"""Deleting a row together with those of the pipeline that hang on it.

Django would list every one of them on the page that asks, and refuse: nobody may delete them by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.http import HttpRequest


class DeletesWithRest:
    """Goes before ModelAdmin: whoever may delete a row may delete what hangs on it, which is counted, not listed.

    ``leave_too`` names the relations that they hang on.
    """

    opts: Any
    leave_too: ClassVar[tuple[str, ...]] = ()

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Return the chosen rows and how many rows of each kind are deleted, for the page that asks for confirmation.

        The last two parts, missing rights and rows that must stay, are always empty.
        """
        chosen: Sequence[Any] = list(objs)
        numbers = {str(self.opts.verbose_name_plural): len(chosen)}
        for name in self.leave_too:
            field: Any = self.opts.get_field(name)
            rest = field.related_model._default_manager.filter(**{f"{field.field.name}__in": chosen})
            numbers[str(field.related_model._meta.verbose_name_plural)] = rest.count()
        return [str(row) for row in chosen], numbers, set(), []
