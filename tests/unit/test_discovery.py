"""What a target names: classes, domains, modules and texts."""

from __future__ import annotations

import gc
import importlib
import sys
import types
from pathlib import Path

import pytest

from resourcekit import Attr, Domain, Resource, attribute
from resourcekit.discovery import find_resources
from resourcekit.errors import DeclarationError

MODULE = """
from __future__ import annotations
from resourcekit import Attr, Domain, Resource, attribute
group = Domain({domain!r})
class {name}(Resource, domain=group):
    id: Attr[int] = attribute(primary_key=True)
class Base(Resource, abstract=True): ...
"""


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A package ``shop`` in which modules declare a resource each, and those that must not be imported raise."""
    files = {
        "__init__": "",
        "orders": MODULE.format(domain="orders", name="Order"),
        "stock/__init__": "",
        "stock/items": MODULE.format(domain="stock", name="Item"),
        "__main__": "raise SystemExit",
        "conftest": "raise ValueError",
        "test_orders": "raise ValueError",
        "stock/items_test": "raise ValueError",
        "tests/__init__": "raise ValueError",
        "migrations/__init__": "raise ValueError",
    }
    for name, text in files.items():
        file = tmp_path / "shop" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    gc.freeze()  # what other tests have left need not be looked at again
    yield tmp_path / "shop"
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]
    # The registry holds classes weakly, and a class is part of a circle.
    gc.collect()
    gc.unfreeze()


def names(*targets: object) -> list[str]:
    """Return the names of what is found."""
    return [resource.__name__ for resource in find_resources(*targets)]


def code_of(*targets: object) -> str:
    """Return the code of the error that the targets raise, which must say what to do."""
    with pytest.raises(DeclarationError) as caught:
        find_resources(*targets)
    assert caught.value.hint
    return caught.value.code


def test_a_module_names_what_is_declared_in_it(shop):
    """The module is imported, and names its own resources; what is abstract is none."""
    assert ["Order"] == names("shop.orders")


def test_a_package_names_what_is_declared_below_it(shop):
    """Of a package those resources count whose modules are imported already."""
    importlib.import_module("shop.stock.items")

    assert ["Item"] == names("shop")
    assert ["Item"] == names(sys.modules["shop.stock"])


def test_stars_import_everything_but_tests_migrations_and_main(shop):
    """``"shop.**"`` walks the package; modules that are for other purposes are not imported."""
    assert ["Order", "Item"] == names("shop.**")
    assert not {"shop.tests", "shop.migrations", "shop.__main__", "shop.conftest", "shop.test_orders"} & sys.modules.keys()


def test_a_colon_names_an_attribute(shop):
    """A resource, a domain or a module behind the colon."""
    assert [["Order"], ["Item"]] == [names("shop.orders:Order"), names("shop.stock.items:group")]
    assert ["Item"] == names("shop:stock.items")


def test_each_resource_comes_once():
    """Targets may overlap; the order is that of the targets."""
    domain = Domain("two")

    class First(Resource, domain=domain):
        id: Attr[int] = attribute(primary_key=True)

    class Second(Resource, domain=domain):
        id: Attr[int] = attribute(primary_key=True)

    assert ["Second", "First"] == names(Second, domain)


def test_a_module_of_a_like_name_is_another_one(shop):
    """``shop.orders`` does not name what ``shop.orders_archive`` declares."""
    (shop / "orders_archive.py").write_text(MODULE.format(domain="archive", name="Old"))
    importlib.invalidate_caches()
    importlib.import_module("shop.orders_archive")

    assert ["Order"] == names("shop.orders")


def test_nothing_named():
    """No target at all is RK070."""
    assert "RK070" == code_of()


def test_nothing_found_names_where_resources_are(shop):
    """RK071 names the modules that hold resources, and the option to walk a package."""
    with pytest.raises(DeclarationError, match=r'"shop\.\*\*"') as caught:
        find_resources("shop")
    assert "RK071" == caught.value.code

    importlib.import_module("shop.orders")
    with pytest.raises(DeclarationError, match=r"shop\.orders"):
        find_resources("json")


@pytest.mark.parametrize("text", ["shop.order", "shopp", "shopp.orders", "", ".", "..**", "a b"])
def test_a_module_that_is_not_there(shop, text):
    """A misspelt module, or one of its packages, is RK072."""
    assert "RK072" == code_of(text)


@pytest.mark.parametrize("body", ["1/0", "import nowhere_at_all", "raise SystemExit", "from shop import nothing"])
def test_a_module_that_cannot_be_imported(shop, body):
    """Whatever its import raises comes out as RK072 that names it; the cause is kept."""
    Path(shop, "broken.py").write_text(body)
    importlib.invalidate_caches()

    assert "RK072" == code_of("shop.broken")
    assert "RK072" == code_of("shop.**")


def test_an_error_of_a_declaration_passes_as_it_is(shop):
    """A module whose resource is wrong raises that very error, with its place."""
    Path(shop, "wrong.py").write_text("from resourcekit import Resource\nclass Order(Resource, colour='red'): ...")
    importlib.invalidate_caches()

    assert "RK001" == code_of("shop.wrong")


@pytest.mark.parametrize(
    "target", ["shop.orders:Ordr", "shop.orders:Base", "shop.orders:__name__x", "shop.**.orders", 3, None, int, Resource]
)
def test_a_target_of_another_kind(shop, target):
    """A missing attribute, an abstract resource, stars in the middle, or no target at all is RK073."""
    assert "RK073" == code_of(target)


def test_a_misspelt_attribute_gets_a_suggestion(shop):
    """The hint names the resource that is near."""
    with pytest.raises(DeclarationError, match="Did you mean 'Order'"):
        find_resources("shop.orders:Ordr")


def test_an_empty_module_value():
    """A module object that declares nothing is RK071."""
    assert "RK071" == code_of(types.ModuleType("made_by_hand"))
