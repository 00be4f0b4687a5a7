"""``resourcekit inspect``: prints resources for the tables of a database."""

from __future__ import annotations

import click

__all__ = ["inspect"]


@click.command()
@click.argument("url", metavar="URL")
@click.argument("table", metavar="[TABLE]...", nargs=-1)
@click.option("--schema", help="The schema of the tables; on MariaDB their database.")
@click.option("--variable", default="DATABASE_URL", show_default=True, help="Environment variable of the URL in the module.")
def inspect(url: str, table: tuple[str, ...], schema: str | None, variable: str) -> None:
    """Print a module with a resource for each table of a database, ready to paste.

    The resources read and write the tables, which stay those of the other program (managed=False). Nothing is changed in the
    database. A column that compares otherwise than Python has foreign_collation=True and a comment.
    """
    from resourcekit.data_layers.sql.inspection import inspected
    from resourcekit.reference.printed_resources import printed

    click.echo(printed(inspected(url, table, schema), schema=schema, variable=variable), nl=False)
