"""Mistakes in data layers: what lacks a method, has one of a wrong form, or returns something else than the port says."""

from __future__ import annotations

import pytest

from tests.support.mistakes import refusal

MISTAKES = {
    "no bind": (
        "RK058",
        "L does not define bind",
        """
        @attrs.frozen
        class L(DataLayer):
            capabilities = Memory.capabilities
        R=res(layer=L())
        R.make(id=1)
        """,
    ),
    "caps list": (
        "RK015",
        "capabilities must be a frozenset of Capability, is ['filter']",
        """
        @attrs.frozen
        class L(Memory):
            capabilities = ["filter"]
        R=res(layer=L())
        """,
    ),
    "caps strings": (
        "RK015",
        "capabilities must be a frozenset of Capability, is frozenset({'filter'})",
        """
        @attrs.frozen
        class L(Memory):
            capabilities = frozenset({"filter"})
        R=res(layer=L())
        """,
    ),
    "incomplete store": (
        "RK016",
        "L.bind raised TypeError: Can't instantiate abstract class S",
        """
        class S(Store):
            pass
        @attrs.frozen
        class L(DataLayer):
            capabilities = Memory.capabilities
            def bind(self, info): return S()
        R=res(layer=L())
        R.make(id=1)
        """,
    ),
    "store no super init": (
        "RK016",
        "L.bind returned a S without table",
        """
        class S(RowsStore):
            def __init__(self, info): self.x=1
            group = 1
            async def read(self, work): return work(None)
            async def write(self, work): return work(None)
            async def health(self): return []
            async def create_storage(self): pass
            async def close(self): pass
        @attrs.frozen
        class L(DataLayer):
            capabilities = RowsStore.CAPABILITIES
            def bind(self, info): return S(info)
        R=res(layer=L())
        R.make(id=1)
        """,
    ),
    "rows read returns nothing": (
        "RK016",
        "S.insert must return a WriteResult, returned NoneType",
        """
        class S(RowsStore):
            def __init__(self, info): super().__init__(info, JSONKeep(info))
            group = 1
            async def read(self, work): work(self.table.committed)
            async def write(self, work):
                d=Draft(self.table, tracked=False); work(d); d.apply()
            async def health(self): return []
            async def create_storage(self): pass
            async def close(self): pass
        @attrs.frozen
        class L(DataLayer):
            capabilities = RowsStore.CAPABILITIES
            def bind(self, info): return S(info)
        R=res(layer=L())
        R.make(id=1)
        """,
    ),
    "rows read only returns nothing": (
        "RK016",
        "S.select must return a list of rows, which are dicts, returned NoneType",
        """
        class S(RowsStore):
            def __init__(self, info): super().__init__(info, JSONKeep(info))
            group = 1
            async def read(self, work): work(self.table.committed)
            async def write(self, work):
                d=Draft(self.table, tracked=False); r=work(d); d.apply(); return r
            async def health(self): return []
            async def create_storage(self): pass
            async def close(self): pass
        @attrs.frozen
        class L(DataLayer):
            capabilities = RowsStore.CAPABILITIES
            def bind(self, info): return S(info)
        R=res(layer=L())
        R.make(id=1)
        query(R).all()
        """,
    ),
    "rows read sync": (
        "RK015",
        "read is not async, and is awaited",
        """
        class S(RowsStore):
            def __init__(self, info): super().__init__(info, JSONKeep(info))
            group = 1
            def read(self, work): return work(self.table.committed)
            def write(self, work):
                d=Draft(self.table, tracked=False); r=work(d); d.apply(); return r
            async def health(self): return []
            async def create_storage(self): pass
            async def close(self): pass
        @attrs.frozen
        class L(DataLayer):
            capabilities = RowsStore.CAPABILITIES
            def bind(self, info): return S(info)
        R=res(layer=L())
        R.make(id=1)
        query(R).all()
        """,
    ),
    "health sync": (
        "RK015",
        "health is not async, and is awaited",
        """
        class S(RowsStore):
            def __init__(self, info): super().__init__(info, JSONKeep(info))
            group = 1
            async def read(self, work): return work(self.table.committed)
            async def write(self, work): return work(Draft(self.table, tracked=False))
            def health(self): return []
            async def create_storage(self): pass
            async def close(self): pass
        """,
    ),
    "memory store insert none": (
        "RK016",
        "S.insert must return a WriteResult, returned NoneType",
        """
        import resourcekit.data_layers.memory.store as ms
        def child(name, fn):
            base = type(Memory().bind(info(res())))
            return type("S",(base,),{name:fn,"__module__":__name__})
        async def bad(self,*a,**k): return None
        S=child("insert",bad)
        @attrs.frozen
        class L(Memory):
            def bind(self, info):
                s=super(L,self).bind(info); s.__class__=S; return s
        R=res(layer=L())
        R.make(id=1)
        """,
    ),
    "select none": (
        "RK016",
        "S.select must return a list of rows, which are dicts, returned NoneType",
        """
        async def bad(self,*a,**k): return None
        base = type(Memory().bind(info(res())))
        S=type("S",(base,),{"select":bad,"__module__":__name__})
        @attrs.frozen
        class L(Memory):
            def bind(self, info):
                s=super(L,self).bind(info); s.__class__=S; return s
        R=res(layer=L())
        R.make(id=1)
        query(R).all()
        """,
    ),
    "codec fails": (
        "DataLayerError",
        "S.insert raised KeyError; a store raises errors of resourcekit alone",
        """
        class K(JSONKeep):
            def row(self, value): return {}["x"]
        class S(RowsStore):
            def __init__(self, info): super().__init__(info, K(info))
            group = 1
            async def read(self, work): return work(self.table.committed)
            async def write(self, work):
                d=Draft(self.table, tracked=False); r=work(d)
                for row in d.rows.values(): self.keep.row(row)
                d.apply(); return r
            async def health(self): return []
            async def create_storage(self): pass
            async def close(self): pass
        @attrs.frozen
        class L(DataLayer):
            capabilities = RowsStore.CAPABILITIES
            def bind(self, info): return S(info)
        R=res(layer=L())
        R.make(id=1)
        query(R).all()
        """,
    ),
    "store raises driver error": (
        "DataLayerError",
        "S.insert raised OSError; a store raises errors of resourcekit alone",
        """
        class S(RowsStore):
            def __init__(self, info): super().__init__(info, JSONKeep(info))
            group = 1
            async def read(self, work): raise OSError("disk")
            async def write(self, work): raise OSError("disk")
            async def health(self): return []
            async def create_storage(self): pass
            async def close(self): pass
        @attrs.frozen
        class L(DataLayer):
            capabilities = RowsStore.CAPABILITIES
            def bind(self, info): return S(info)
        R=res(layer=L())
        R.make(id=1)
        """,
    ),
    "stream raises driver error": (
        "DataLayerError",
        "S.stream raised OSError; a store raises errors of resourcekit alone",
        """
        class S(RowsStore):
            def __init__(self, info): super().__init__(info, JSONKeep(info))
            group = 1
            async def read(self, work): return work(self.table.committed)
            async def write(self, work): return work(Draft(self.table, tracked=False))
            async def health(self): return []
            async def create_storage(self): pass
            async def close(self): pass
            async def stream(self, plan, params):
                raise OSError("disk")
                yield {}
        @attrs.frozen
        class L(DataLayer):
            capabilities = RowsStore.CAPABILITIES
            def bind(self, info): return S(info)
        R=res(layer=L())
        list(query(R).stream())
        """,
    ),
    "stream yields tuples": (
        "RK016",
        "S.stream must yield rows, which are dicts, yielded tuple",
        """
        class S(RowsStore):
            def __init__(self, info): super().__init__(info, JSONKeep(info))
            group = 1
            async def read(self, work): return work(self.table.committed)
            async def write(self, work): return work(Draft(self.table, tracked=False))
            async def health(self): return []
            async def create_storage(self): pass
            async def close(self): pass
            async def stream(self, plan, params):
                yield (1, "x")
        @attrs.frozen
        class L(DataLayer):
            capabilities = RowsStore.CAPABILITIES
            def bind(self, info): return S(info)
        R=res(layer=L())
        list(query(R).stream())
        """,
    ),
    "stream is a coroutine": (
        "RK016",
        "S.stream must return an async iterator of rows, which are dicts, returned coroutine",
        """
        class S(RowsStore):
            def __init__(self, info): super().__init__(info, JSONKeep(info))
            group = 1
            async def read(self, work): return work(self.table.committed)
            async def write(self, work): return work(Draft(self.table, tracked=False))
            async def health(self): return []
            async def create_storage(self): pass
            async def close(self): pass
            async def stream(self, plan, params): return []
        @attrs.frozen
        class L(DataLayer):
            capabilities = RowsStore.CAPABILITIES
            def bind(self, info): return S(info)
        R=res(layer=L())
        list(query(R).stream())
        """,
    ),
    "in_process not property": (
        "RK015",
        "L has a class variable 'in_proces', which is never read",
        """
        @attrs.frozen
        class L(Memory):
            in_proces = True
        res(layer=L())
        """,
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_data_layer_is_told_as_an_error_of_resourcekit(mistake: str) -> None:
    """A layer that breaks the port is named; the call ends with an error of resourcekit."""
    code, text, source = MISTAKES[mistake]

    error = refusal(source)

    assert code == getattr(error, "code", type(error).__name__)
    assert text in str(error)
