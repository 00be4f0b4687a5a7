"""The tables of Django's auth app, made by Django itself in a process of its own: python django_auth.py KIND URL."""

from __future__ import annotations

import sys
from pathlib import Path

import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.interop.django_beside import configure


def main() -> None:
    """Migrate, and add a user with a group and a permission."""
    configure(sys.argv[1], sa.make_url(sys.argv[2]), apps=["django.contrib.contenttypes", "django.contrib.auth"])
    from django.contrib.auth.models import Group, Permission, User
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    if "--only-read" in sys.argv:
        user = User.objects.get(username="bob")
        sys.stdout.write(f"{user.pk} {user.check_password('secret')} {sorted(group.name for group in user.groups.all())}\n")
        return
    user = User.objects.create_user("ann", "ann@example.org", "secret")
    group = Group.objects.create(name="staff")
    group.permissions.add(Permission.objects.get(codename="add_user"))
    user.groups.add(group)


if __name__ == "__main__":
    main()
