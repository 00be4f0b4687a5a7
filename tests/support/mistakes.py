"""Runs the source of a mistake that an author could make, and returns the error."""

from __future__ import annotations

import itertools
import sys
import textwrap
import types

from resourcekit.errors import DeclarationErrors, ResourcekitError

_COMMON = """
import attrs, asyncio
from datetime import timedelta, datetime
from typing import Any, ClassVar, TypeVar
from resourcekit import *
from resourcekit import Attr, Resource, attribute, create, update, destroy, read, action, info, query, Domain, transaction
from resourcekit.data_layers import Memory, SQL
from resourcekit.extending import *
from resourcekit.supervisor import Supervisor
from resourcekit.doctor import doctor
class Add(Transformer):
    def transform(self, state, options): return state
class Ver(Verifier):
    def verify(self, info, options): return []
class Svc(Service):
    def interval(self, options): return timedelta(hours=1)
    async def run(self, context): return 1
def res(*ext, layer=None, **body):
    ns = {"__annotations__": {"id": Attr[int], "name": Attr[str]}, "id": attribute(primary_key=True), "name": attribute(default="x"), "__module__": __name__}
    import types
    def fill(b):
        b["__module__"]=__name__
        b["__annotations__"]={"id": Attr[int], "name": Attr[str]}
        b["id"]=attribute(primary_key=True); b["name"]=attribute(default="x")
        b["make"]=create(accept=["id","name"]); b["change"]=update(accept=["name"]); b["gone"]=destroy()
        for k,v in body.items(): b[k]=v() if callable(v) and getattr(v,"__name__","")=="<lambda>" else v
    return types.new_class("R",(Resource,),dict(domain=Domain("d"),data_layer=layer or Memory(),extensions=list(ext)),fill)
def ext(**k):
    return attrs.frozen(kw_only=True)(type("E",(Extension,),k))
"""

_numbers = itertools.count()


def refusal(source: str) -> ResourcekitError:
    """Run a source after the common names, and return the error of resourcekit that it raises. All other errors pass."""
    module = types.ModuleType(f"mistake_{next(_numbers)}")
    sys.modules[module.__name__] = module
    try:
        exec(_COMMON + textwrap.dedent(source), vars(module))  # the source is the mistake
    except DeclarationErrors as errors:
        error = errors.exceptions[-1]
        assert isinstance(error, ResourcekitError)
        return error
    except ResourcekitError as error:
        return error
    finally:
        del sys.modules[module.__name__]
    message = "the mistake passed in silence"
    raise AssertionError(message)
