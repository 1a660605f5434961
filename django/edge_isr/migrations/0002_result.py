"""What queries that many pages share have brought."""

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("edge_isr", "0001_outbox")]

    operations = [
        migrations.CreateModel(
            name="Result",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("fingerprint", models.CharField(db_index=True, max_length=40)),
                ("digest", models.CharField(max_length=40)),
                ("query", models.TextField()),
                ("tags", models.TextField()),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "verbose_name": "compared result",
                "verbose_name_plural": "compared results",
                "ordering": ["id"],
            },
        ),
    ]
