"""Chunks are claimed in the order of their attempts; a source bounds pages of one form of address."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("ingestion", "0003_collections"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="chunk",
            name="chunk_state_order",
        ),
        migrations.RemoveIndex(
            model_name="chunk",
            name="chunk_document_state",
        ),
        migrations.AddField(
            model_name="source",
            name="max_alike",
            field=models.PositiveIntegerField(
                default=500,
                help_text="Linked pages whose addresses differ in numbers, dates or parameters only, as those of calendars and filters without end (websites); 0: no bound.",
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="attempts",
            field=models.PositiveIntegerField(
                default=0, help_text="Listings begun; the host's own pauses do not count."
            ),
        ),
        migrations.AddIndex(
            model_name="chunk",
            index=models.Index(fields=["state", "attempts", "id"], name="chunk_claim_order"),
        ),
        migrations.AddIndex(
            model_name="chunk",
            index=models.Index(fields=["document", "state", "attempts"], name="chunk_document_state"),
        ),
    ]
