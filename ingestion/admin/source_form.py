"""The form of a source: its target, its bounds, its crawl policy, and uploaded files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.models import Group

from ingestion.admin.upload_form import UploadForm
from ingestion.exceptions import IngestionError
from ingestion.models import Source
from ingestion.sources.registry import normalise


class GlobsField(forms.CharField):
    """A list of globs, one per line."""

    widget = forms.Textarea(attrs={"rows": 3, "cols": 60, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: str | None) -> list[str]:  # type: ignore[override]
        return [line.strip() for line in (value or "").splitlines() if line.strip()]


class SourceForm(UploadForm, forms.ModelForm[Source]):
    target = forms.CharField(
        required=False,
        max_length=2048,
        widget=forms.TextInput(attrs={"size": 70}),
        help_text="The first page of a website, a sitemap's address, github:owner/repo[@ref][/path], or a folder or "
        "file of the server. For uploaded files leave it empty.",
    )
    include = GlobsField(
        required=False,
        help_text="Only these, one glob per line, such as *.md; empty: everything. PDF, Office and EPUB files of a "
        "website are read only where a glob ends in their suffix, as *.pdf.",
    )
    exclude = GlobsField(required=False, help_text="Never these, one glob per line.")
    groups = forms.ModelMultipleChoiceField(
        Group.objects.order_by("name"),
        required=False,
        label="Readers",
        help_text="Groups of users. Only they and staff may read what it holds; without any everybody may.",
    )

    class Meta:
        model = Source
        fields = (
            "name",
            "kind",
            "target",
            "product",
            "version",
            "include",
            "exclude",
            "max_pages",
            "max_depth",
            "max_alike",
            "delay_seconds",
            "connections",
            "refresh_seconds",
            "trusts_dates",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["groups"].initial = self.instance.readers.all()

    def _save_m2m(self) -> None:
        """Write the many-to-many fields of the form, and make the chosen groups the source's only readers."""
        super()._save_m2m()  # type: ignore[misc]  # Django's own hook, which its stubs leave out
        self.instance.readers.set(self.cleaned_data["groups"])

    def clean(self) -> dict[str, Any]:
        """Store uploaded files and return the form's data, with the target in its normal form.

        Raise ValidationError for a target that cannot be one, and for a folder of this machine outside FILES_ROOTS.
        """
        data = super().clean() or self.cleaned_data
        if data.get("version") and not data.get("product"):
            self.add_error("product", "Name the product that this is a version of.")
        # Django looks at this only after files are stored.
        if Source.objects.filter(name=data.get("name")).exclude(pk=self.instance.pk).exists():
            self.add_error("name", "Another source has this name.")
        if self.errors:
            return data
        if data["kind"] == Source.Kind.UPLOADS:
            data["target"] = self.store_files(name=data["name"], target=self.instance.target)
        try:
            data["target"] = normalise(data["kind"], data["target"])
        except IngestionError as error:
            raise forms.ValidationError({"target": str(error)}) from error
        path = Path(data["target"])
        on_this_machine = data["kind"] in Source.LOCAL and not data["target"].startswith(("http://", "https://"))
        if on_this_machine and not any(path.is_relative_to(root) for root in settings.FILES_ROOTS):
            allowed = ", ".join(str(root) for root in settings.FILES_ROOTS) or "none yet"
            raise forms.ValidationError(
                {"target": f"Folders must lie below one of FILES_ROOTS ({allowed}). Ask the operator to set it."}
            )
        return data
