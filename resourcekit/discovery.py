"""Finds resources by target: a class, a domain, a module or a text. The command and ``doctor`` use it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from resourcekit.domain import Domain, default_domain
from resourcekit.errors import DeclarationError, ResourcekitError, did_you_mean
from resourcekit.known_names import shown
from resourcekit.metaclass import registered

__all__ = ["find_resources"]

_HOW = 'Write a resource, a domain, or a text: "myapp.accounts", "myapp.**" or "myapp.accounts:Token".'
_PASSED_OVER = ("__main__", "conftest", "migrations", "test", "tests")


def find_resources(*targets: object) -> tuple[Any, ...]:
    """Return the resources that the targets name, each once, in the order of targets and of declaration.

    Args:
        targets: Each is a resource; a Domain; a module; ``"myapp.accounts"`` (imported; every resource declared in that
            module or below it); ``"myapp.**"`` (all modules of the package are imported first, except tests, migrations and
            ``__main__``; packages without an ``__init__`` file are not entered); or ``"myapp.accounts:Token"`` (an attribute
            of that module: a resource, a domain or a module).

    Raises:
        DeclarationError: RK070 if no target is given, RK071 if a target contains no resource, RK072 if a module cannot be
            imported, RK073 for any other target. Errors of resourcekit that an import raises are passed on.
    """
    if not targets:
        raise DeclarationError("RK070", "no resource is named", hint=_HOW)
    found: dict[int, Any] = {}
    for target in targets:
        resources = _resources_of(target)
        if not resources:
            raise _nothing_in(target)
        found.update({id(resource): resource for resource in resources})
    return tuple(found.values())


def _resources_of(target: object) -> tuple[Any, ...]:
    if isinstance(target, str):
        return _read(target)
    if isinstance(target, Domain):
        return target.resources
    if isinstance(target, ModuleType):
        return _declared_in(target.__name__)
    if isinstance(target, type) and "__runtime__" in target.__dict__:
        return (target,)
    if isinstance(target, type) and "__info__" in target.__dict__:
        hint = "Name a class that inherits from it and is not abstract."
        raise DeclarationError("RK073", f"{target.__name__} is abstract, and keeps no records", hint=hint)
    raise DeclarationError("RK073", f"{shown(target)} is no resource, domain, module or text", hint=_HOW)


def _read(text: str) -> tuple[Any, ...]:
    module, colon, path = text.partition(":")
    if module.endswith(".py") or "/" in module or "\\" in module:
        name = module.removesuffix(".py").replace("\\", "/").strip("./").replace("/", ".")
        raise DeclarationError("RK072", f"{module!r} is a file, and a module is named", hint=f'Write "{name}{colon}{path}".')
    if colon:
        found = _attribute(_imported(module), path)
        if isinstance(found, str):
            raise DeclarationError("RK073", f"{text} is a text, and no resource, domain or module", hint=_HOW)
        return _resources_of(found)
    package, stars, rest = module.partition(".**")
    if not stars:
        return _declared_in(_imported(package).__name__)
    if rest:
        raise DeclarationError("RK073", f"{text!r} has something behind its stars", hint=f'Write "{package}.**".')
    _walk(_imported(package))
    return _declared_in(package)


def _imported(name: str) -> ModuleType:
    """Import a module. Errors of resourcekit are passed on; any other error becomes one that names the module."""
    try:
        return import_module(name)
    except ResourcekitError:
        raise
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _cannot_import(name, error) from error
        hint = _with_colon(name) or "Check the spelling, and run from the folder that holds it, or install it."
        raise DeclarationError("RK072", f"there is no module {error.name!r}", path=(name,), hint=hint) from error
    except Exception as error:  # a module can raise anything
        raise _cannot_import(name, error) from error
    except SystemExit as error:
        raise _cannot_import(name, error) from error


def _with_colon(name: str) -> str:
    """Return a hint if a dotted name is an imported module and an object of it: ``"accounts.Token"``. Otherwise ``""``."""
    module, _, path = name.rpartition(".")
    if path and _may_be_named(getattr(sys.modules.get(module), path, None)):
        return f'Write "{module}:{path}".'
    return ""


def _cannot_import(name: str, error: BaseException) -> DeclarationError:
    what = f"importing the module failed: {type(error).__name__}: {error}"
    return DeclarationError("RK072", what, path=(name,), hint=f"Repair it; python -c 'import {name or 'myapp'}' shows the place.")


def _attribute(module: ModuleType, path: str) -> object:
    found: object = module
    for step in path.split("."):
        if not hasattr(found, step):
            what = f"{module.__name__} has no attribute {path!r}"
            known = (name for name, value in vars(module).items() if _may_be_named(value))
            raise DeclarationError("RK073", what, path=(module.__name__,), hint=did_you_mean(path, known) or _HOW)
        found = getattr(found, step)
    return found


def _may_be_named(value: object) -> bool:
    return isinstance(value, Domain) or (isinstance(value, type) and "__runtime__" in value.__dict__)


def _walk(package: ModuleType) -> None:
    """Import everything below a package, depth first, by name."""
    for name in _below(package):
        _walk(_imported(name))


def _below(package: ModuleType) -> Iterator[str]:
    for module in sorted(iter_modules(getattr(package, "__path__", ())), key=lambda each: each.name):
        if module.name not in _PASSED_OVER and not module.name.startswith("test_") and not module.name.endswith("_test"):
            yield f"{package.__name__}.{module.name}"


def _declared_in(package: str) -> tuple[Any, ...]:
    return tuple(resource for resource in registered() if f"{resource.__module__}.".startswith(f"{package}."))


def _nothing_in(target: object) -> DeclarationError:
    """Return the error for a target without resources. It names places that have resources."""
    if isinstance(target, Domain):
        hint = f"Declare one: class Token(Resource, domain={target.name}, ...), and import its module before this line."
        if target is default_domain:
            hint = "Declare one, and import its module before this line."
        return DeclarationError("RK071", f"the domain {target.name} has no resources", hint=hint)
    name = target.__name__ if isinstance(target, ModuleType) else str(target)
    known = sorted({resource.__module__ for resource in registered()})
    hint = f"Resources are declared in: {', '.join(known)}. Name one of these." if known else "Declare one there."
    is_package = hasattr(sys.modules.get(name), "__path__")
    if is_package and not any(module.startswith(f"{name}.") for module in known):
        hint = f'Name the module that declares it, or walk the package: "{name}.**". {hint}'
    return DeclarationError("RK071", f"{name} declares no resource", hint=hint)
