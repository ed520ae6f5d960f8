from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0011_cancelled")]

    operations = [
        migrations.RenameField(model_name="contextsentence", old_name="created_at", new_name="seen_at"),
    ]
