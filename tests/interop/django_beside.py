"""A program of Django beside a resource: models on the resource's table, and foreign keys both ways.

Run by test_shared_columns: python django_beside.py KIND URL. It prints what it did.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.shared_table import OURS, TABLE, THEIRS, as_json


def configure(kind: str, url: sa.URL, apps: Sequence[str] = ()) -> None:
    """Configure Django for a database; without any app unless some are given."""
    import django
    from django.conf import settings

    engines = {"sqlite": "sqlite3", "postgresql": "postgresql", "mariadb": "mysql"}
    place: dict[str, Any] = {"ENGINE": f"django.db.backends.{engines[kind]}", "NAME": url.database}
    if kind != "sqlite":
        place |= {"HOST": url.host, "PORT": url.port or "", "USER": url.username, "PASSWORD": url.password or ""}
    if kind == "postgresql":
        place["OPTIONS"] = dict(url.query)
    if kind == "mariadb":
        import pymysql

        pymysql.install_as_MySQLdb()
        place["OPTIONS"] = {"ssl_disabled": True, "charset": "utf8mb4"}
    settings.configure(
        DATABASES={"default": place},
        INSTALLED_APPS=list(apps),
        USE_TZ=True,
        TIME_ZONE="Europe/Berlin",
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    )
    django.setup()


def models_of(kind: str) -> tuple[Any, Any]:
    """Return the model of the resource's table, and one whose table Django makes."""
    from django.db import models

    class Item(models.Model):  # noqa: DJ008  # no admin shows it
        id = models.UUIDField(primary_key=True) if kind != "mariadb" else models.CharField(primary_key=True, max_length=36)
        name = models.CharField(max_length=100)
        at = models.DateTimeField()
        day = models.DateField()
        hour = models.TimeField()
        lasts = models.DurationField()
        flag = models.BooleanField()
        price = models.CharField(max_length=40) if kind == "sqlite" else models.DecimalField(max_digits=38, decimal_places=2)
        number = models.BigIntegerField()
        ratio = models.FloatField()
        facts = models.JSONField()
        level = models.IntegerField()
        state = models.CharField(max_length=10)
        data = models.BinaryField()
        exact = models.CharField(max_length=40) if kind == "sqlite" else models.DecimalField(max_digits=38, decimal_places=6)
        words = models.JSONField()
        days = models.JSONField()
        amounts = models.JSONField()
        maybe = models.JSONField(null=True)
        noted = models.JSONField(null=True)

        class Meta:
            app_label, db_table, managed = "beside", TABLE, False

    class Note(models.Model):  # noqa: DJ008  # no admin shows it
        item = models.ForeignKey(Item, on_delete=models.PROTECT, null=True)

        class Meta:
            app_label, db_table = "beside", "django_notes"

    return Item, Note


def modelled(kind: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return values as the model has them."""
    made = {**row, **as_json(row), "level": row["level"].value}
    if kind == "sqlite":
        return made | {name: f"{row[name]:f}" for name in ("price", "exact")}
    return made | ({"id": str(row["id"])} if kind == "mariadb" else {})


def refer(kind: str, item: Any, note: Any) -> None:
    """Make foreign keys both ways, and check that the database keeps them."""
    from django.db import IntegrityError, connection, transaction

    if kind == "mariadb":  # a foreign key needs the character set and the collation of the other column
        connection.cursor().execute(
            "CREATE TABLE django_notes (id integer AUTO_INCREMENT PRIMARY KEY, item_id char(36) CHARACTER SET ascii COLLATE ascii_nopad_bin)"
        )
        connection.cursor().execute(f"ALTER TABLE django_notes ADD FOREIGN KEY (item_id) REFERENCES {TABLE} (id)")
    else:
        with connection.schema_editor() as editor:
            editor.create_model(note)
    kept = note.objects.create(item=item.objects.get(number=OURS["number"], name=OURS["name"]))
    assert note.objects.get(item__flag=True, item__level=2).item.name == OURS["name"]
    try:
        with transaction.atomic():
            note.objects.create(item_id=item._meta.pk.to_python("deadbeef-0000-4000-8000-000000000000"))
            connection.check_constraints()
    except IntegrityError:
        pass
    else:
        raise AssertionError("a note of no item was stored")
    if kind != "sqlite":
        connection.cursor().execute(f"ALTER TABLE {TABLE} ADD note_id integer REFERENCES django_notes (id)")
        connection.cursor().execute(f"UPDATE {TABLE} SET note_id = %s", [kept.pk])


def main(kind: str, address: str) -> None:
    """Read our record, write another one, refer to ours."""
    configure(kind, sa.make_url(address))
    from django.db import models

    item, note = models_of(kind)
    ours = modelled(kind, OURS)
    found = item.objects.get(at=OURS["at"], day=OURS["day"], flag=True)
    found.data = bytes(found.data)  # psycopg gives a memoryview to Django
    assert ours == {name: getattr(found, name) for name in ours}, {name: getattr(found, name) for name in ours}
    null = models.Value(None, models.JSONField())
    item.objects.create(**{**modelled(kind, THEIRS), "noted": null})
    assert item.objects.filter(noted=null, maybe=THEIRS["maybe"]).count() == 1
    refer(kind, item, note)
    sys.stdout.write("read, written, referred")


if __name__ == "__main__":
    main(*sys.argv[1:])
