"""The part of a source's form that takes uploaded files, for admin forms to inherit.

Files are stored while the form is cleaned, so that a refused archive shows beside its field.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.template.defaultfilters import filesizeformat

from ingestion.exceptions import SourceError
from ingestion.media_types import FORMATS
from ingestion.sources.local import uploads


class FilesInput(forms.FileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """A field for any number of files, together no larger than UPLOAD_MAX_BYTES; cleaned to a list."""

    widget = FilesInput(attrs={"accept": ",".join([*FORMATS, uploads.ARCHIVE])})

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile[Any]]:
        given = data if isinstance(data, Sequence) else [data]
        found = [file for file in (super(FilesField, self).clean(one, initial) for one in given) if file]
        if sum(file.size for file in found) > settings.UPLOAD_MAX_BYTES:
            raise forms.ValidationError(
                f"Together they are larger than {filesizeformat(settings.UPLOAD_MAX_BYTES)} (UPLOAD_MAX_BYTES); "
                "upload them in parts."
            )
        return found


class UploadForm(forms.Form):
    """A form with files; ``stored`` says what became of them, once they are stored."""

    upload = FilesField(
        required=False, help_text=f"For uploaded files: one or many, or zip archives of {' '.join(FORMATS)} files."
    )
    replace_all = forms.BooleanField(required=False, help_text="Drop what was uploaded before.")

    stored: uploads.Stored | None = None

    def store_files(self, *, name: str, target: str) -> str:
        """Store the chosen files for the source ``name``. Return its target, a new folder when ``target`` is empty.

        Raise ValidationError when the files cannot be stored.
        """
        chosen = self.cleaned_data.get("upload") or []
        if target and not chosen:
            return target
        target = target or uploads.new_folder(name)
        try:
            self.stored = uploads.store(target, chosen, replace_all=self.cleaned_data.get("replace_all", False))
        except SourceError as error:
            raise forms.ValidationError({"upload": str(error)}) from error
        return target
