"""A table may have any name that its database takes: it is a name in every statement, and never syntax."""

import pytest

from resourcekit import query, transaction
from resourcekit.data_layers import SQL
from resourcekit.doctor import doctor
from resourcekit.errors import UniqueViolation

NAMES = [
    *('dou"ble', "sin'gle", "back`tick", "back\\slash", "per%cent", "%s", "%(p0)s", "co:lon", ":p0", "quest?ion", "a b", "a.b"),
    *("select", "Order", "größe", "x; DROP TABLE notes; --", "{0}", "$1"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_table_of_any_name(repo, declare, name):
    """Made, written, read, upserted, changed, swept and looked at; a table beside it is left alone."""
    beside = declare(repo, "notes")
    beside.write(key="safe")
    note = declare(SQL(repo, table=name))
    note.write(key="a", text="x")
    note.put(key="a", text="y")
    note.write.bulk([{"key": key, "number": number} for number, key in enumerate("bcd")])
    with pytest.raises(UniqueViolation):
        note.write(key="e", text="y")
    note.count_up("b")
    note.remove("c")
    with transaction(note):
        note.edit("d", text="z")
    note.__info__.options["domain"].create_storage()

    assert [("a", "y", 0), ("b", None, 1), ("d", "z", 2)] == [
        (each.key, each.text, each.number) for each in query(note).sort(note.key).all()
    ]
    assert ["a"] == [each.key for each in query(note).filter(note.text.like("y%")).all()]
    assert () == doctor(note)
    assert ["safe"] == [each.key for each in query(beside).all()]


def test_leases_and_sweeps_under_an_odd_name(repo, declare):
    """They make statements of their own."""
    from resourcekit import Domain
    from resourcekit.testing import ManualClock
    from resourcekit_tokens import JWT, TokenRecord, TokenResource
    from tests.conftest import SECRET

    domain = Domain("odd")

    class Token(
        TokenRecord, domain=domain, data_layer=SQL(repo, table="%s\"`'\\:x?"), extensions=[TokenResource(jwt=JWT(SECRET))]
    ):
        """Tokens in a table whose name is all signs."""

    domain.create_storage()
    with ManualClock() as clock:
        revoked = [Token.issue(name).token for name in ("ann", "bob")]
        for each in revoked:
            Token.revoke(each)
        before = [Token.token_revoked(each) for each in revoked]
        clock.advance(days=15)
        removed = Token.expunge_expired().removed

    assert ([True, True], 2) == (before, removed)
