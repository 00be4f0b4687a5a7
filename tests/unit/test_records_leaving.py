"""Which parts of a record leave the program when it is converted to something else."""

from __future__ import annotations

import asyncio

import httpx
from fastapi import FastAPI

from resourcekit import Attr, Domain, Resource, as_dict, attribute, create
from resourcekit.data_layers import Memory


class Person(Resource, domain=Domain("records leaving"), data_layer=Memory()):
    """A record with something to hide."""

    id: Attr[int] = attribute(primary_key=True)
    name: Attr[str] = attribute(public=True)
    password_hash: Attr[str] = attribute(sensitive=True)
    pin: Attr[str] = attribute(public=True, sensitive=True)

    register = create(accept=["id", "name", "password_hash", "pin"])


ALICE = Person(id=1, name="Alice", password_hash="secret", pin="secret")


def test_a_record_as_a_dict_has_its_public_values():
    """``dict(record)`` is ``as_dict(record)``: what is public and not sensitive."""
    assert {"name": "Alice"} == dict(ALICE)
    assert as_dict(ALICE) == dict(ALICE)


def test_a_web_framework_that_turns_a_record_into_json_shows_public_values_only():
    """An endpoint that returns a record, or a list of them, shows nothing sensitive."""
    app = FastAPI()

    @app.get("/one")
    def one():
        return ALICE

    @app.get("/many")
    def many():
        return [ALICE]

    async def ask(path):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return (await client.get(path)).json()

    assert {"name": "Alice"} == asyncio.run(ask("/one"))
    assert [{"name": "Alice"}] == asyncio.run(ask("/many"))
