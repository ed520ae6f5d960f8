"""Frequencies of terms; collections say what they store, and those that there are store no words."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("ingestion", "0005_dropped_words_and_held_up_runs"),
    ]

    operations = [
        migrations.CreateModel(
            name="TermFrequencies",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("chunks", models.PositiveIntegerField()),
                ("sampled", models.PositiveIntegerField()),
                ("terms", models.BinaryField()),
                ("counts", models.BinaryField()),
                ("counted_at", models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name="collection",
            name="layout",
            field=models.PositiveSmallIntegerField(default=1),
        ),
        migrations.AlterField(
            model_name="collection",
            name="layout",
            field=models.PositiveSmallIntegerField(default=2),
        ),
    ]
