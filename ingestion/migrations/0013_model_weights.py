from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0012_context_sentence_seen_at")]

    operations = [
        migrations.AddField(
            model_name="collection",
            name="weights",
            field=models.CharField(
                blank=True, default="", help_text="SHA-256 of the model's files, whatever its path.", max_length=64
            ),
            preserve_default=False,
        ),
    ]
