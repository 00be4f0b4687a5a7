"""Matches with a pattern on MariaDB over an index: every character is found, and the index is still read in a range."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resourcekit import Attr, Domain, Resource, attribute, create, destroy, index, query
from resourcekit.data_layers import SQL, Memory
from resourcekit.data_layers.sql.dialects.mariadb import patterns
from resourcekit.expressions.evaluation import compile_expression
from resourcekit.expressions.nodes import Field

NAMES = [
    "team",
    "team-",
    "team-a",
    "team-é",
    "team-\ud7ff",
    "team-\ue000",
    "team-\uffff",
    "team-😀",
    "team-𝒳",
    "team-\U0010ffff",
    "tean",
]


def declared(layer):
    """Return a resource with an index over its names, and NAMES in it."""
    domain = Domain("teams")

    class Team(Resource, domain=domain, data_layer=layer):
        number: Attr[int] = attribute(primary_key=True)
        name: Attr[str | None] = attribute(default=None)
        by_name = index("name")
        add = create(accept=["number", "name"])
        remove = destroy()

    domain.create_storage()
    for number, name in enumerate([*NAMES, None]):
        Team.add(number=number, name=name)
    return Team


@pytest.mark.parametrize(
    "pattern", ["team-%", "team-_", "%-😀", "team-😀%", "\U0010ffff%", "team-\U0010ffff%", "te\\am%", "%", "team-\ud7ff%"]
)
def test_a_pattern_finds_what_it_finds_in_memory(mariadb, pattern):
    """Among them characters beyond the basic plane, which MariaDB's own range of an index leaves out."""
    team, model = declared(SQL(mariadb.url)), declared(Memory())
    for each in (Field("name").like(pattern), ~Field("name").like(pattern)):
        wanted = {found.name for found in query(model).filter(each).all()}

        assert wanted == {found.name for found in query(team).filter(each).all()}


def test_a_bulk_destroy_by_pattern_leaves_nothing_behind(mariadb):
    """DELETE ... LIKE goes by the same range."""
    team = declared(SQL(mariadb.url))
    team.remove.bulk(query(team).filter(team.name.like("team-%")))

    assert ["team", "tean"] == [each.name for each in query(team).filter(team.name != None).sort("name").all()]  # noqa: E711  # an expression


def test_a_prefix_is_read_as_a_range_of_the_index(mariadb):
    """What is asked for by prefix reads these rows, not the whole table."""
    declared(SQL(mariadb.url))
    mariadb.run("INSERT INTO team (number, name) SELECT 1000 + seq, concat('other', seq) FROM seq_1_to_2000")
    mariadb.run("ANALYZE TABLE team")
    plan = mariadb.run(
        "EXPLAIN SELECT number FROM team WHERE concat(name) LIKE 'team-%' AND name >= 'team-' AND ('team.' IS NULL OR name < 'team.')"
    )

    assert "range" == plan[0][3]


@given(pattern=st.text("ab%_\\\ud7ff\ue000\U0010ffff", max_size=5), text=st.text("ab\ud7ff\ue000\U0010ffff", max_size=5))
def test_whatever_a_pattern_matches_lies_between_its_bounds(pattern, text):
    """The bounds leave out nothing that the pattern matches."""
    if not compile_expression(Field("text").like(pattern))({"text": text}, {}, {}):
        return
    end = patterns.end(pattern)

    assert patterns.first(pattern) <= text
    assert end is None or text < end
