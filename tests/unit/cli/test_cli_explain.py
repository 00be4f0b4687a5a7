"""``resourcekit explain``: what it shows, in each of its forms."""

from __future__ import annotations

import json


def test_it_shows_what_the_class_became(run, folder):
    """Attributes, actions, identities, indexes and extensions, each with who added it and where."""
    result = run("explain", "helpdesk_app:Ticket")
    lines = {" ".join(line.split()) for line in result.output.splitlines()}
    source = (folder / "helpdesk_app.py").read_text().splitlines()

    def place(start: str) -> str:
        return f"helpdesk_app.py:{next(number for number, line in enumerate(source, 1) if line.strip().startswith(start))}"

    assert 0 == result.exit_code
    assert {"helpdesk_app.Ticket", "A request for help."} <= lines
    assert f"id int primary key, required you {place('id:')}" in lines
    assert f"status Literal['open', 'closed'] default 'open' you {place('status:')}" in lines
    assert any(line.startswith("archived_at datetime | None default None Archival") for line in lines)
    assert f"close update you, replaced by Archival {place('close = update')}" in lines
    assert f"about read word: str, limit: int? you {place('@read')}" in lines
    assert f"count_open action -> int you {place('@action')}" in lines
    assert f"by_subject subject you {place('by_subject')}" in lines
    assert {"Archival Marks instead of destroying.", "Archival transformers add archived at", "Archival services count"} <= lines


def test_it_hides_a_sensitive_default(run):
    """In no form is the default of a sensitive attribute shown."""
    for form in ((), ("--json",), ("--mermaid",)):
        assert "hunter2" not in run("explain", "helpdesk_app:Ticket", *form).output


def test_a_pipe_gets_no_call_mode_and_no_box(run):
    """Without a terminal the text is plain, and no line is cut or broken, however long it is."""
    output = run("explain", "helpdesk_app:Ticket").output

    assert not {"\x1b", "│", "┃", "─", "…"} & set(output)
    verifiers = (
        "has primary key, names can be given, named fields exist, limits can be met, one primary action of a kind, steps can run, "
        "actions are sound"
    )
    assert verifiers in output


def test_json_holds_the_same_facts(run):
    """``--json`` is a list of resources, with text, numbers, lists and dicts only."""
    (facts,) = json.loads(run("explain", "helpdesk_app", "--json").stdout)
    archived_at = next(each for each in facts["attributes"] if each["name"] == "archived_at")
    submit = next(each for each in facts["actions"] if each["name"] == "submit")

    assert ("Ticket", "helpdesk", "Memory") == (facts["resource"], facts["domain"], facts["data_layer"])
    assert ("Archival", ["added by Archival"]) == (archived_at["declared_by"], archived_at["history"])
    assert ("create", ["id", "subject"]) == (submit["kind"], submit["accepts"])


def test_mermaid_is_a_class_diagram(run):
    """``--mermaid`` draws attributes, actions, store and extensions."""
    lines = [line.strip() for line in run("explain", "helpdesk_app:helpdesk", "--mermaid").output.splitlines()]

    assert "classDiagram" == lines[0]
    assert {"+str subject", "-int id key", "-Literal status", "-datetime? archived_at", "+submit(id, subject) create"} <= set(
        lines
    )
    assert {"Ticket ..> Archival : extended by", "Ticket --> Memory : stored in"} <= set(lines)


def test_two_forms_at_once_are_wrong_usage(run):
    """``--json --mermaid`` is exit code 2."""
    assert 2 == run("explain", "helpdesk_app", "--json", "--mermaid").exit_code


def test_what_stands_elsewhere_is_shown_as_python_finds_it(run, folder):
    """The place of a declaration that an installed extension ships starts with its package, not with a root folder."""
    (folder / "tokens_app.py").write_text(
        "from resourcekit import Resource\n"
        "from resourcekit.data_layers import Memory\n"
        "from resourcekit_tokens import TokenResource\n"
        "class Token(Resource, data_layer=Memory(), extensions=[TokenResource]): ...\n"
    )
    lines = [" ".join(line.split()) for line in run("explain", "tokens_app:Token").output.splitlines()]

    assert any(line.startswith("jti str") and "TokenResource resourcekit_tokens/record.py:" in line for line in lines)
    assert not any("replaced by TokenResource" in line for line in lines)


def test_relationships_are_listed(run, folder):
    """A relationship is shown with its kind, the other resource and the key."""
    (folder / "shop_app.py").write_text(
        """
from __future__ import annotations
from resourcekit import Attr, Domain, Many, One, Resource, attribute, belongs_to, has_many

class Customer(Resource, domain=Domain("shop")):
    id: Attr[int] = attribute(primary_key=True)
    sponsor_id: Attr[int | None] = attribute(default=None)
    sponsor: One[Customer | None] = belongs_to("sponsor_id", public=True)
    friends: Many[Customer] = has_many("sponsor_id")
"""
    )
    lines = {" ".join(line.split()) for line in run("explain", "shop_app").output.splitlines()}
    (facts,) = json.loads(run("explain", "shop_app", "--json").stdout)

    assert "sponsor belongs_to Customer | None sponsor_id restrict you shop_app.py:8" in lines
    assert ("has_many", "Customer", ["sponsor_id"], False) == tuple(
        facts["relationships"][1][name] for name in ("kind", "to", "key", "public")
    )


RELATED = """
from __future__ import annotations
from resourcekit import Attr, Calc, Domain, Many, One, Resource, attribute, belongs_to, calculated, has_many, many_to_many
shop = Domain("shop")
class Author(Resource, domain=shop):
    id: Attr[int] = attribute(primary_key=True)
    name: Attr[str] = attribute()
    books: Many[Book] = has_many("author_id")
    loud: Calc[str] = calculated(lambda: Author.name + "!")
    written: Calc[int] = calculated(lambda: Author.books.count())
class Book(Resource, domain=shop):
    id: Attr[int] = attribute(primary_key=True)
    author_id: Attr[int | None] = attribute(default=None)
    author: One[Author | None] = belongs_to("author_id")
    tags: Many[Tag] = many_to_many(through=lambda: BookTag, source="book_id", destination="tag_id")
class Tag(Resource, domain=shop):
    id: Attr[int] = attribute(primary_key=True)
    books: Many[Book] = many_to_many(through=lambda: BookTag, source="tag_id", destination="book_id")
class BookTag(Resource, domain=shop):
    book_id: Attr[int] = attribute(primary_key=True)
    tag_id: Attr[int] = attribute(primary_key=True)
    book: One[Book] = belongs_to("book_id", on_delete="cascade")
"""


def test_mermaid_draws_how_entities_are_related(run, folder):
    """A domain whose resources are related is an entity relationship diagram, one line for both directions of a key."""
    (folder / "related_app.py").write_text(RELATED)
    lines = [line.strip() for line in run("explain", "related_app:shop", "--mermaid").output.splitlines()]

    assert "erDiagram" == lines[0]
    assert {
        "int id PK",
        "int author_id FK",
        "int book_id PK, FK",
        'int written "count of books"',
        'str loud "expression"',
    } <= set(lines)
    assert [
        'Author |o--o{ Book : "books / author"',
        'Book }o--o{ Tag : "tags / books"',
        'Book ||--o{ BookTag : "book"',
    ] == lines[-3:]


def test_calculations_and_aggregates_are_listed(run, folder):
    """A computed value is shown with its type and how it is computed, a belongs_to with what a removal does."""
    (folder / "related_app.py").write_text(RELATED)
    lines = {" ".join(line.split()).rpartition(" you ")[0] for line in run("explain", "related_app").output.splitlines()}

    assert {"loud str expression", "written int count of books", "book belongs_to Book book_id cascade"} <= lines


def test_no_line_of_a_pipe_is_longer_than_a_few_terminals(run, folder):
    """The token resource, which brings the most, has lines of 300 columns at most, each with whole words."""
    (folder / "tokens_app.py").write_text(
        "from resourcekit.data_layers import Memory\nfrom resourcekit_tokens import TokenRecord, TokenResource\n"
        "class Token(TokenRecord, data_layer=Memory(), extensions=[TokenResource(sessions=True)]): ...\n",
        encoding="utf-8",
    )

    lines = run("explain", "tokens_app:Token").output.splitlines()

    assert [] == [line for line in lines if len(line) > 300 or line.endswith("…")]
