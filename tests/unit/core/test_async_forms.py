"""The async form of each function, given to a framework that asks how it has to be called."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import pytest
from starlette._utils import is_async_callable
from starlette.background import BackgroundTasks

from resourcekit import Attr, Domain, Resource, attribute, create, get, load, query, reload, update
from resourcekit.data_layers import Memory
from resourcekit_tokens import JWT, TokenResource, revoke

domain = Domain("forms")


class Note(Resource, domain=domain, data_layer=Memory()):
    """A note."""

    id: Attr[int] = attribute(primary_key=True)
    text: Attr[str] = attribute(default="")
    make = create(accept=["id", "text"])
    edit = update(accept=["text"])


class Token(Resource, domain=domain, data_layer=Memory(), extensions=[TokenResource(jwt=JWT("a" * 40))]):
    """Tokens."""


FORMS: list[Callable[..., Any]] = [
    Note.make.aio,
    Note.make.bulk.aio,
    Note.edit.aio,
    Note(id=1).edit.aio,
    query(Note).all.aio,
    get.aio,
    reload.aio,
    load.aio,
    domain.create_storage.aio,
    revoke.aio,
    Token.revoke.aio,  # type: ignore[attr-defined]
    functools.partial(Note.make.aio, id=1),
]


@pytest.mark.parametrize("form", FORMS)
def test_an_async_form_counts_as_a_coroutine_function(form: Callable[..., Any]) -> None:
    """The sync form does not."""
    assert is_async_callable(form)
    assert not is_async_callable(getattr(form, "__self__", Note.make))


def test_a_task_after_the_response_runs() -> None:
    """It was called in a thread, which dropped the coroutine: nothing was written, and no error was raised."""
    domain.create_storage()
    tasks = BackgroundTasks()
    tasks.add_task(Note.make.aio, id=7, text="a")
    tasks.add_task(Note.edit.aio, 7, text="b")

    asyncio.run(tasks())

    assert "b" == get(Note, 7).text
