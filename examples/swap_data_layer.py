"""One scenario on two data layers: what changes between them is one word.

Run it: ``python examples/swap_data_layer.py``. It runs the same scenario twice, prints it, and compares.
"""

from __future__ import annotations

import asyncio
import tempfile
from datetime import timedelta

from resourcekit import Attr, Domain, Resource, attribute, create, destroy, get, identity, increment, query, transaction, update
from resourcekit.data_layers import SQL, Memory
from resourcekit.errors import Invalid, UniqueViolation
from resourcekit.extending import DataLayer
from resourcekit_tokens import JWT, TokenRecord, TokenResource
from resourcekit_tokens.errors import TokenConsumed

KEYS = JWT("a secret of an example: long enough for its hash, but typed and not drawn")


def scenario(layer: DataLayer) -> list[str]:
    """Declare two resources on a data layer, do a little of everything, and return what happened."""
    shop = Domain("shop")
    received: list[str] = []

    class Article(Resource, domain=shop, data_layer=layer):
        """Something that is sold."""

        id: Attr[int] = attribute(primary_key=True)
        name: Attr[str] = attribute(min_length=1)
        stock: Attr[int] = attribute(default=0)

        by_name = identity("name")

        enter = create(accept=["id", "name", "stock"])
        deliver = create(accept=["id", "name", "stock"], upsert="by_name")
        sell = update(changes=[increment("stock", -1)])
        drop = destroy()

    class ResetLink(TokenRecord, domain=shop, data_layer=layer, extensions=[TokenResource(jwt=KEYS)]):
        """Links that work once."""

    shop.create_storage()

    done = Article.enter.bulk([{"id": 1, "name": "Tea", "stock": 3}, {"id": 2, "name": "Cups"}, {"id": 3, "name": ""}])
    received.append(f"entered {done.count}, refused {[failure.index for failure in done.failures]}")
    try:
        Article.enter(id=4, name="Tea")
    except UniqueViolation as error:
        received.append(f"a second Tea is refused by {error.identity}")
    received.append(f"Cups delivered, now {Article.deliver(id=9, name='Cups', stock=7).stock}")

    try:
        with transaction(Article):
            Article.drop(1)
            Article.enter(id=5, name="Cups")
    except Invalid:
        received.append(f"rolled back, and {get(Article, 1).name} is still there")

    async def sell_all() -> None:
        await asyncio.gather(*(Article.sell.aio(1) for _ in range(3)))

    asyncio.run(sell_all())
    stocked = query(Article).filter(Article.stock > 0)
    received.append(f"three buyers at once: {get(Article, 1).stock} left; in stock: {[each.name for each in stocked.all()]}")
    received.append(f"one more of everything sold: {Article.sell.bulk(stocked).count}")

    link = ResetLink.issue("Ada", purpose="reset", lifetime=timedelta(minutes=15))
    received.append(f"the link of {ResetLink.consume(link.token, purpose='reset').subject} is used")
    try:
        ResetLink.consume(link.token, purpose="reset")
    except TokenConsumed:
        received.append("and does not work twice")
    return received


def main() -> None:
    """Live the story on each data layer."""
    with tempfile.TemporaryDirectory() as folder:
        stories = {
            "Memory": scenario(Memory()),
            "SQLite": scenario(SQL(f"sqlite:///{folder}/shop.db")),
        }
    for name, received in stories.items():
        print(f"{name}:", *received, sep="\n  ")
    print("The same story:", stories["Memory"] == stories["SQLite"])


if __name__ == "__main__":
    main()
