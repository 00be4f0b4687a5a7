"""Functions of expressions mean the same on every layer: case and spaces of texts, quotients, rests, rounded numbers."""

from __future__ import annotations

import operator
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resourcekit import Attr, Calc, Domain, Resource, attribute, calculated, create, get, query, set_attribute, update
from resourcekit.errors import DeclarationError, Invalid, InvalidArgument, Misuse
from resourcekit.expressions.nodes import as_expression
from resourcekit.extending import Field
from tests.support.scales import scale_on

TEXTS = [None, "", "  ", " Ab c ", "ÄßZéİ🦉", "\tX\n", "[`{@"]
WHOLES = [
    (7, 3),
    (-7, 3),
    (7, -3),
    (-7, -3),
    (6, 3),
    (0, 5),
    (5, 0),
    (2**63 - 1, 2),
    (-(2**63), 3),
    (1, 2**62),
    (None, 2),
    (2, None),
]
FLOATS = [0.5, 1.5, 2.5, -0.5, -1.5, -0.04, 2.675, 1.005, 1e300, 123456789.125, 5e-324, None]


@pytest.fixture
def item(every_layer: Callable[[], Any]) -> Any:
    """Return a resource with texts and numbers."""
    domain = Domain("items of functions")

    class Item(Resource, domain=domain, data_layer=every_layer()):
        id: Attr[int] = attribute(primary_key=True)
        text: Attr[str | None] = attribute(default=None)
        number: Attr[int | None] = attribute(default=None)
        divisor: Attr[int | None] = attribute(default=None)
        ratio: Attr[float | None] = attribute(default=None)
        facts: Attr[dict[str, Any] | None] = attribute(default=None)

        half: Calc[float | None] = calculated(lambda: Field("number") / 2)

        make = create(accept=["id", "text", "number", "divisor", "ratio", "facts"])
        halve = update(
            changes=[set_attribute("number", Field("number") // 2), set_attribute("text", Field("text").trim().upper())]
        )

    domain.create_storage()
    return Item


def values(item: Any, node: Any) -> list[Any]:
    """Return the values of an expression, each as its record loads it, after requiring that the store finds each record by it."""
    found = [(each.id, each.extra["x"]) for each in query(item).sort("id").load(x=node).all()]
    for number, value in found:
        assert number in [each.id for each in query(item).filter(node == value).all()], (number, value)
    by_value = [each.id for each in query(item).sort(node, "id").all()]
    assert by_value == [
        n for n, value in sorted(found, key=lambda pair: (pair[1] is not None, pair[1] or type(pair[1])(), pair[0]))
    ]
    return [value for _, value in found]


def test_functions_of_texts(item: Any) -> None:
    """ASCII letters change their case, and spaces at both ends go; all else stays as it is."""
    item.make.bulk([{"id": n, "text": text} for n, text in enumerate(TEXTS)])

    assert [None, "", "  ", " ab c ", "Äßzéİ🦉", "\tx\n", "[`{@"] == values(item, item.text.lower())
    assert [None, "", "  ", " AB C ", "ÄßZéİ🦉", "\tX\n", "[`{@"] == values(item, item.text.upper())
    assert [None, "", "", "Ab c", "ÄßZéİ🦉", "\tX\n", "[`{@"] == values(item, item.text.trim())
    assert [3] == [each.id for each in query(item).filter(("x" + item.text.trim().lower()).like("xa%")).all()]


@pytest.mark.parametrize(("sign", "compute"), [("//", operator.floordiv), ("%", operator.mod), ("/", operator.truediv)])
def test_quotients_of_whole_numbers(item: Any, sign: str, compute: Callable[[Any, Any], Any]) -> None:
    """They are those of Python, for negative numbers, too; by zero there is none."""
    item.make.bulk([{"id": n, "number": one, "divisor": other} for n, (one, other) in enumerate(WHOLES)])
    wanted = [None if one is None or not other else compute(one, other) for one, other in WHOLES]
    found = values(item, compute(item.number, item.divisor))

    assert wanted == found, sign
    assert [type(each) for each in wanted] == [type(each) for each in found]
    by_three = [None if one is None else compute(one, -3) for one, _ in WHOLES]
    assert by_three == values(item, compute(item.number, -3))
    of_ten = [None if not other else compute(10, other) for _, other in WHOLES]
    assert of_ten == values(item, compute(10, item.divisor))


SMALL = [(n, d) for n in (-7, -2, 0, 3, None) for d in (-3, 0, 2)]
LEAVES = st.sampled_from(["number", "divisor"]) | st.integers(-3, 3)
SIGNS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "//": operator.floordiv, "%": operator.mod}
TREES = st.recursive(LEAVES, lambda deeper: st.tuples(st.sampled_from(list(SIGNS)), deeper, deeper), max_leaves=6)


def built(tree: Any) -> Any:
    """Return the expression of a tree."""
    if isinstance(tree, tuple):
        return SIGNS[tree[0]](built(tree[1]), as_expression(built(tree[2])))
    return Field(tree) if isinstance(tree, str) else as_expression(tree)


def computed(tree: Any, row: dict[str, Any]) -> Any:
    """Return what Python computes of a tree."""
    if not isinstance(tree, tuple):
        return row[tree] if isinstance(tree, str) else tree
    left, right = computed(tree[1], row), computed(tree[2], row)
    if left is None or right is None or (tree[0] in ("//", "%") and right == 0):
        return None
    return SIGNS[tree[0]](left, right)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees=st.lists(TREES, min_size=4, max_size=8))
def test_nested_sums_and_quotients(item: Any, trees: list[Any]) -> None:
    """Each sign takes the operands that it has in Python, however deep they are."""
    if not query(item).exists():
        item.make.bulk([{"id": n, "number": one, "divisor": other} for n, (one, other) in enumerate(SMALL)])
    for tree in trees:
        node = built(tree)
        found = query(item).sort("id").load(x=node, y=node / 4, z=-node).all()
        wanted = [computed(tree, {"number": one, "divisor": other}) for one, other in SMALL]
        assert wanted == [each.extra["x"] for each in found]
        assert [None if each is None else each / 4 for each in wanted] == [each.extra["y"] for each in found]
        assert [None if each is None else -each for each in wanted] == [each.extra["z"] for each in found]


def test_quotients_of_floats(item: Any) -> None:
    """A quotient of floats is the nearest float, beside a whole number, too."""
    item.make.bulk([{"id": n, "ratio": ratio, "number": 3} for n, ratio in enumerate([0.1, -2.5, None, 7.0])])

    assert [0.1 / 3, -2.5 / 3, None, 7.0 / 3] == values(item, item.ratio / item.number)
    assert [3 / 0.1, 3 / -2.5, None, 3 / 7.0] == values(item, item.number / item.ratio)
    assert [1.2, 1.2, 1.2, 1.2] == values(item, item.number / 2.5)
    assert [3.5, 3.5, 3.5, 3.5] == values(item, item.number + 0.5)


def test_numbers_are_rounded_to_the_even_neighbour(item: Any) -> None:
    """A half goes to the even neighbour; a whole number and a large one stay."""
    item.make.bulk([{"id": n, "ratio": ratio, "number": n} for n, ratio in enumerate(FLOATS)])

    assert [0.0, 2.0, 2.0, 0.0, -2.0, 0.0, 3.0, 1.0, 1e300, 123456789.0, 0.0, None] == values(item, item.ratio.round())
    assert [0.5, 1.5, 2.5, -0.5, -1.5, -0.04, 2.68, 1.0, 1e300, 123456789.12, 0.0, None] == values(item, item.ratio.round(2))
    assert list(range(len(FLOATS))) == values(item, item.number.round(2))


def test_functions_of_parts_of_json(item: Any) -> None:
    """A part has the form that the function needs; another form is None."""
    item.make.bulk([{"id": 1, "facts": {"a": " X ", "n": 2.5}}, {"id": 2, "facts": {"a": 5, "n": "x"}}, {"id": 3}])

    assert ["x", None, None] == values(item, item.facts["a"].trim().lower())
    assert [2.0, None, None] == values(item, item.facts["n"].round())
    assert [1.25, None, None] == values(item, item.facts["n"] / 2)
    assert [3.5, None, None] == values(item, item.facts["n"] + 1)


def test_updates_and_calculations(item: Any) -> None:
    """They compute with functions, one record or many at once."""
    item.make.bulk([{"id": 1, "number": -7, "text": " a "}, {"id": 2, "number": 9, "text": "é"}, {"id": 3}])

    halved = item.halve(1)
    assert (-4, "A") == (halved.number, halved.text)
    item.halve.bulk(query(item), strategy="atomic")
    assert [(-2, "A"), (4, "é"), (None, None)] == [(each.number, each.text) for each in query(item).sort("id").all()]
    assert [-1.0, 2.0, None] == [each.half for each in query(item).sort("id").load(item.half).all()]
    assert [2] == [each.id for each in query(item).filter(item.half > 1).all()]


def test_decimals(every_layer: Callable[[], Any], request: pytest.FixtureRequest) -> None:
    """Rounding keeps so many digits; quotients and rests are rounded down, which those of Decimal are not."""
    domain, layer = Domain("decimals of functions"), every_layer()

    class Bill(Resource, domain=domain, data_layer=layer):
        id: Attr[int] = attribute(primary_key=True)
        price: Attr[Decimal | None] = attribute(default=None, scale=scale_on(layer, 3))

        make = create(accept=["id", "price"])

    domain.create_storage()
    prices = ["2.5", "-2.5", "3.5", "0.125", "-0.375", "7"]
    Bill.make.bulk([*({"id": n, "price": Decimal(price)} for n, price in enumerate(prices)), {"id": 9}])

    if request.node.callspec.params["every_layer"] == "mariadb":  # its decimals are not exact
        with pytest.raises(InvalidArgument, match="exactly"):
            values(Bill, Bill.price.round())
        return

    def shown(node: Any) -> list[str]:
        return [str(each) for each in values(Bill, node)]

    assert ["2", "-2", "4", "0", "0", "7", "None"] == shown(Bill.price.round())
    assert ["2.50", "-2.50", "3.50", "0.12", "-0.38", "7.00", "None"] == shown(Bill.price.round(2))
    assert ["1", "-2", "1", "0", "-1", "3", "None"] == shown(Bill.price // 2)
    assert [0.5, 1.5, 1.5, 0.125, 1.625, 1.0, None] == [
        None if each is None else float(each) for each in values(Bill, Bill.price % 2)
    ]
    assert [None] * 7 == values(Bill, Bill.price // Decimal(0))


def test_what_a_function_cannot_take_is_refused(item: Any) -> None:
    """The error names the attribute and what to write instead."""
    for wrong, says in [
        (item.number.lower() == "x", "number: is no text"),
        (item.text // 2 == 1, "text: cannot be computed: // is for two numbers"),
        (item.ratio // 2 == 1, r"ratio: has a fraction, .* use / and round"),
        (item.number % 2.5 == 1, "number: has a fraction"),
        (item.text.round() == 1, r"text: cannot be computed: round\(\) is for numbers"),
        (item.number // 2, "what is computed is no condition"),
    ]:
        with pytest.raises(InvalidArgument, match=says):
            query(item).filter(wrong).all()
    with pytest.raises(InvalidArgument, match="from 0 to 15, not -1"):
        item.ratio.round(-1)
    with pytest.raises(Misuse, match="multiply"):
        item.number**2
    with pytest.raises(DeclarationError, match="RK099"):
        _wrong_calculation()


def _wrong_calculation() -> None:
    domain = Domain("wrong functions")

    class Wrong(Resource, domain=domain):
        id: Attr[int] = attribute(primary_key=True)
        loud: Calc[str] = calculated(lambda: Field("id").upper())

    get(Wrong, 1)


@pytest.mark.parametrize(
    "computed",
    [as_expression("a") - 1, as_expression("a") * "b", as_expression(10**400) * 1.5, as_expression(10**400) / 2],
    ids=["types", "texts", "product", "quotient"],
)
def test_constants_of_which_nothing_can_be_computed_are_refused(item: Any, computed: Any) -> None:
    """The error is of the resource, and not the TypeError or OverflowError of Python."""
    with pytest.raises(InvalidArgument, match="Item"):
        query(item).filter(item.number == computed).all()


def test_a_number_beyond_all_floats_is_refused(item: Any) -> None:
    """It is Invalid, as a number beyond 64 bits is, alone and in a sum."""
    for condition in (item.number == 10**400, item.number + 10**400 > 1, item.number / 10**400 < 1):
        with pytest.raises(Invalid, match=r"64 bits|too large"):
            query(item).filter(condition).all()
