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
    assert "Archival Marks instead of destroying. transformers: AddArchivedAt; services: Count" in lines


def test_it_hides_a_sensitive_default(run):
    """In no form is the default of a sensitive attribute shown."""
    for form in ((), ("--json",), ("--mermaid",)):
        assert "hunter2" not in run("explain", "helpdesk_app:Ticket", *form).output


def test_a_pipe_gets_no_colour_and_no_box(run):
    """Without a terminal the text is plain, and no line is cut or broken, however long it is."""
    output = run("explain", "helpdesk_app:Ticket").output

    assert not {"\x1b", "│", "┃", "─", "…"} & set(output)
    assert "HasPrimaryKey, NamedFieldsExist, OnePrimaryActionOfAKind, StepsCanRun, ActionsAreSound" in output


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
    assert {"Ticket ..> Archival : extended by", "Ticket --> Memory : kept in"} <= set(lines)


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
