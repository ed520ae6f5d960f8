from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0013_model_weights")]

    operations = [
        migrations.AddField(
            model_name="termfrequencies",
            name="restricted",
            field=models.CharField(blank=True, default="", max_length=32),
        ),
    ]
