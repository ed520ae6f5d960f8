"""Collections know their model's pooling, and one may be built beside the one that is searched."""

from django.conf import settings
from django.db import migrations, models


def name_pooling(apps, schema_editor):
    """Earlier versions refused to write with another model than the settings', so theirs is the one."""
    Collection = apps.get_model("ingestion", "Collection")
    Collection.objects.filter(model=settings.MODEL_PATH).update(pooling=settings.EMBED_POOLING)


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0002_sources_and_refresh")]

    operations = [
        migrations.AddField("collection", "pooling", models.CharField(default="cls", max_length=20), False),
        migrations.AddField("collection", "building", models.BooleanField(default=False)),
        migrations.AddField("collection", "checked_to", models.BigIntegerField(blank=True, null=True)),
        migrations.AddField("collection", "last_chunk", models.BigIntegerField(default=0)),
        migrations.AddField(
            "collection",
            "note",
            models.TextField(blank=True, help_text="Why it does not take the other one's place, if it does not."),
        ),
        migrations.AddField(
            "collection", "audit", models.JSONField(default=dict, help_text="What the last audit found.")
        ),
        migrations.AddField(
            "collection",
            "started_at",
            models.DateTimeField(blank=True, help_text="When the comparison began.", null=True),
        ),
        migrations.AddField("collection", "retired_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddConstraint(
            "collection",
            models.UniqueConstraint(
                condition=models.Q(("building", True)), fields=("building",), name="one_building_collection"
            ),
        ),
        migrations.RunPython(name_pooling, migrations.RunPython.noop),
    ]
