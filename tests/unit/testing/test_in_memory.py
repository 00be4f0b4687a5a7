"""Resources on Memory for the time of a test."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, env, get, query, read, set_attribute, transaction, update
from resourcekit.data_layers import SQL
from resourcekit.errors import DeclarationError, DeclarationErrors, NotFound
from resourcekit.testing import in_memory
from resourcekit_tokens import TokenRecord, TokenResource


def declared(domain: Domain, layer: Any, name: str = "Note") -> Any:
    """Declare a small resource, known under a name of its own."""

    class Note(Resource, domain=domain, data_layer=layer):
        __qualname__ = name
        id: Attr[int] = attribute(primary_key=True)
        text: Attr[str] = attribute(default="")
        write = create(accept=["id", "text"])
        clear = update(changes=[set_attribute("text", "")])
        all_of_them = read(primary=True)

    return Note


@pytest.fixture
def notes(tmp_path: Path) -> Any:
    """A domain with one resource on SQLite, where one record is stored."""
    domain = Domain("notes")
    note = declared(domain, SQL(f"sqlite:///{tmp_path}/notes.db"))
    domain.create_storage()
    note.write(id=1, text="kept")
    return domain, note


def test_a_block_begins_empty_and_leaves_no_trace(notes: Any) -> None:
    """Inside, reads and writes reach a fresh Memory; afterwards the resource has what it had before, and nothing else."""
    domain, note = notes
    with in_memory(domain):
        before = query(note).count()
        note.write(id=2)
        note.write(id=1, text="another")
        inside = [record.text for record in query(note).sort(note.id).all()]
        note.clear(1)

    assert 0 == before
    assert ["another", ""] == inside
    assert [(1, "kept")] == [(record.id, record.text) for record in query(note).all()]


def test_both_call_modes(notes: Any) -> None:
    """``async with`` moves resources for async calls; sync calls in the same block see the same records."""
    domain, note = notes

    async def work() -> tuple[int, int]:
        async with in_memory(domain):
            await note.write.aio(id=7)
            return await query(note).count.aio(), query(note).count()

    assert (1, 1) == asyncio.run(work())
    assert [1] == [record.id for record in query(note).all()]


def test_an_error_inside_puts_the_resource_back(notes: Any) -> None:
    """An exception passes through the block, and the resource is back in its database."""
    domain, note = notes
    with pytest.raises(ZeroDivisionError), in_memory(domain):
        note.write(id=2)
        _ = 1 / 0

    assert [1] == [record.id for record in query(note).all()]


def test_nested_blocks_begin_empty_each(notes: Any) -> None:
    """An inner block sees nothing of the outer one, which goes on with its own records."""
    domain, note = notes
    with in_memory(domain):
        note.write(id=2)
        with in_memory(domain):
            inner = query(note).count()
            note.write(id=3)
        outer = [record.id for record in query(note).all()]

    assert (0, [2]) == (inner, outer)
    assert [1] == [record.id for record in query(note).all()]


def test_one_block_may_be_used_again(notes: Any) -> None:
    """The same object begins a fresh block each time, inside itself too."""
    domain, note = notes
    block = in_memory(domain)
    counts = []
    with block:
        note.write(id=2)
        with block:
            counts.append(query(note).count())
        counts.append(query(note).count())
    with block:
        counts.append(query(note).count())

    assert [0, 1, 0] == counts
    assert [1] == [record.id for record in query(note).all()]


def test_a_setting_that_is_missing_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resource on ``SQL(env(...))`` works in the block with the variable unset, and asks for it again afterwards."""
    monkeypatch.delenv("NOTES_URL", raising=False)
    domain = Domain("unset")
    note = declared(domain, SQL(env("NOTES_URL")))
    with in_memory(domain):
        note.write(id=1)
        found = get(note, 1).id

    assert 1 == found
    with pytest.raises(DeclarationError, match="RK020"):
        query(note).count()


def test_a_setting_that_comes_later_is_read_then(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """After the block the domain is sealed with the real store, also where it was used in the block first."""
    domain = Domain("later")
    note = declared(domain, SQL(env("LATER_URL")))
    with in_memory(domain):
        note.write(id=1)
    monkeypatch.setenv("LATER_URL", f"sqlite:///{tmp_path}/later.db")
    domain.create_storage()
    note.write(id=2)

    assert [2] == [record.id for record in query(note).all()]


def test_a_domain_that_could_not_be_sealed_may_be_tested(tmp_path: Path) -> None:
    """What sealing found about the real stores does not hold in the block, and holds again afterwards."""
    domain = Domain("clash")
    first = declared(domain, SQL(f"sqlite:///{tmp_path}/one.db", table="same"), "First")
    second = declared(domain, SQL(f"sqlite:///{tmp_path}/one.db", table="same"), "Second")
    with pytest.raises(DeclarationError, match="RK051"):
        query(first).count()
    with in_memory(domain):
        first.write(id=1)
        inside = (query(first).count(), query(second).count())

    assert (1, 0) == inside
    with pytest.raises(DeclarationError, match="RK051"):
        query(second).count()


def test_resources_that_are_declared_inside_take_part(tmp_path: Path) -> None:
    """A module that is imported in the block declares into the domain, and works in memory too, until the block ends."""
    domain = Domain("growing")
    with in_memory(domain):
        note = declared(domain, SQL(f"sqlite:///{tmp_path}/growing.db"))
        note.write(id=1)
        inside = query(note).count()
    domain.create_storage()

    assert 1 == inside
    assert 0 == query(note).count()


def test_single_resources_can_be_named(notes: Any, tmp_path: Path) -> None:
    """Only what is named moves."""
    domain, note = notes
    other = declared(domain, SQL(f"sqlite:///{tmp_path}/other.db"), "Other")
    domain.create_storage()
    with in_memory(note):
        note.write(id=2)
        other.write(id=2)

    assert ([1], [2]) == tuple([record.id for record in query(each).all()] for each in (note, other))


def test_resources_of_a_block_share_transactions(tmp_path: Path) -> None:
    """Resources of two databases can be in one transaction as long as both are in memory."""
    domain = Domain("two databases")
    first = declared(domain, SQL(f"sqlite:///{tmp_path}/1.db"), "First")
    second = declared(domain, SQL(f"sqlite:///{tmp_path}/2.db"), "Second")
    with in_memory(first, second):
        with pytest.raises(ZeroDivisionError), transaction(first, second):
            first.write(id=1)
            second.write(id=1)
            _ = 1 / 0
        left = (query(first).count(), query(second).count())

    assert (0, 0) == left


def test_threads_see_the_block(notes: Any) -> None:
    """A server's worker threads, started by the test, work in memory too."""
    domain, note = notes
    with in_memory(domain):
        thread = threading.Thread(target=lambda: note.write(id=2))
        thread.start()
        thread.join()
        inside = [record.id for record in query(note).all()]

    assert [2] == inside
    assert [1] == [record.id for record in query(note).all()]


def test_token_resources_move_with_what_was_compiled(tmp_path: Path) -> None:
    """A token resource that was used before, is used in the block and afterwards, each time on its own records."""
    domain = Domain("tokens on sqlite")

    class Token(TokenRecord, domain=domain, data_layer=SQL(f"sqlite:///{tmp_path}/tokens.db"), extensions=[TokenResource()]):
        """A token resource without keys."""

    domain.create_storage()
    Token.revoke_jti("a", subject="s")
    seen = [(Token.jti_revoked("a"), Token.jti_revoked("b"))]
    with in_memory(domain):
        seen.append((Token.jti_revoked("a"), Token.jti_revoked("b")))
        Token.revoke_jti("b")
        Token.log_out_everywhere("t")
        seen.append((Token.jti_revoked("a"), Token.jti_revoked("b")))
        seen.append((Token.jti_revoked("c", subject="t"), Token.jti_revoked("a", subject="s")))
    seen.append((Token.jti_revoked("a"), Token.jti_revoked("b")))

    assert [(True, False), (False, False), (False, True), (True, False), (True, False)] == seen
    assert ["a"] == [record.jti for record in query(Token).all()]


def test_nothing_named_is_an_error() -> None:
    """Without a target, or with one that holds no resource, the error says what to write."""
    with pytest.raises(DeclarationError, match="RK070"), in_memory():
        pass
    with pytest.raises(DeclarationError, match="RK071"), in_memory("json"):
        pass


def test_a_resource_that_memory_cannot_keep_leaves_the_others_where_they_were(notes: Any, tmp_path: Path) -> None:
    """Where one resource cannot move, none does."""
    domain, note = notes

    class Odd(Resource, domain=domain, data_layer=SQL(f"sqlite:///{tmp_path}/odd.db")):
        id: Attr[list[int]] = attribute(primary_key=True)

    with pytest.raises((DeclarationError, DeclarationErrors), match="RK151"), in_memory(domain):
        pass

    assert "kept" == get(note, 1).text
    with pytest.raises(NotFound):
        get(note, 2)


def test_an_unset_setting_of_another_domain_does_not_matter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Sealing a domain reads no setting of another domain that is not used."""
    monkeypatch.delenv("ELSEWHERE_URL", raising=False)
    elsewhere = declared(Domain("elsewhere"), SQL(env("ELSEWHERE_URL")), "Elsewhere")
    domain = Domain("here")
    note = declared(domain, SQL(f"sqlite:///{tmp_path}/here.db"), "Here")
    domain.create_storage()

    assert 0 == query(note).count()
    with pytest.raises(DeclarationError, match="RK020"):
        query(elsewhere).count()
