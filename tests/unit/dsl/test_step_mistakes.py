"""Mistakes in transformers, verifiers, services, checks, changes and hooks: each is reported with its code."""

from __future__ import annotations

import pytest

from tests.support.mistakes import refusal

MISTAKES = {
    "transformer async": (
        "RK015",
        "transform is async, and would not be awaited",
        """
        class T(Transformer):
            async def transform(self, state, options): return state
        res(ext(transformers=(T,)))
        """,
    ),
    "transformer one parameter": (
        "RK015",
        "transform does not take the arguments state, options",
        """
        class T(Transformer):
            def transform(self, state): return state
        res(ext(transformers=(T,)))
        """,
    ),
    "transformer before itself": (
        "RK015",
        "before names the transformer itself",
        """
        class T(Transformer):
            def transform(self, state, options): return state
        T.before = (T,)
        res(ext(transformers=(T,)))
        """,
    ),
    "transformer mutates state": (
        "RK016",
        "T.transform raised TypeError: 'mappingproxy' object does not support item assignment",
        """
        class T(Transformer):
            def transform(self, state, options):
                state.entities["x"] = 1
                return state
        res(ext(transformers=(T,)))
        """,
    ),
    "transformer add non entity": (
        "RK016",
        "E adds 'attribute', which is no entity",
        """
        class T(Transformer):
            def transform(self, state, options): return state.add("attribute")
        res(ext(transformers=(T,)))
        """,
    ),
    "transformer add word": (
        "RK016",
        "which is no entity",
        """
        class T(Transformer):
            def transform(self, state, options): return state.add(create())
        res(ext(transformers=(T,)))
        """,
    ),
    "transformer add unnamed": (
        "RK016",
        "E adds to the actions without a name",
        """
        class T(Transformer):
            def transform(self, state, options): return state.add(CreateAction())
        res(ext(transformers=(T,)))
        """,
    ),
    "Attribute.of bad name": (
        "RK016",
        "E adds something to the attributes under the name 'not a name'",
        """
        class T(Transformer):
            def transform(self, state, options): return state.add(Attribute.of("not a name", int, default=1))
        R=res(ext(transformers=(T,)))
        """,
    ),
    "replace action with attribute": (
        "RK016",
        "E replaces 'make' of the actions",
        """
        class T(Transformer):
            def transform(self, state, options): return state.replace(Attribute.of("make", int, default=1))
        R=res(ext(transformers=(T,)))
        """,
    ),
    "evolve changes not tuple": (
        "RK016",
        "E adds 'make', whose changes must be tuple[Any, ...], is SetAttribute",
        """
        class T(Transformer):
            def transform(self, state, options): return state.replace(attrs.evolve(state.actions["make"], changes=set_attribute("name","y")))
        R=res(ext(transformers=(T,)))
        """,
    ),
    "evolve changes None": (
        "RK016",
        "E adds 'make', whose changes must be tuple[Any, ...], is NoneType",
        """
        class T(Transformer):
            def transform(self, state, options): return state.replace(attrs.evolve(state.actions["make"], changes=None))
        R=res(ext(transformers=(T,)))
        """,
    ),
    "evolve arguments list": (
        "RK016",
        "E adds 'make', whose arguments must be Mapping[str, Argument], is list",
        """
        class T(Transformer):
            def transform(self, state, options): return state.replace(attrs.evolve(state.actions["make"], arguments=[argument("x", int)]))
        R=res(ext(transformers=(T,)))
        """,
    ),
    "set_option notifiers wrong": (
        "RK003",
        "notifiers must be a list, is 5",
        """
        class T(Transformer):
            def transform(self, state, options): return state.set_option("notifiers", 5)
        R=res(ext(transformers=(T,)))
        R.make(id=1)
        """,
    ),
    "define non callable": (
        "RK016",
        "E defines 'hello' as 5, which cannot be called",
        """
        class T(Transformer):
            def transform(self, state, options): return state.define("hello", 5)
        R=res(ext(transformers=(T,)))
        """,
    ),
    "define bad name": (
        "RK016",
        "E adds something to the functions under the name 'not a name'",
        """
        class T(Transformer):
            def transform(self, state, options): return state.define("not a name", lambda: 5)
        R=res(ext(transformers=(T,)))
        """,
    ),
    "define plain function": (
        "RK016",
        "E defines 'hello' as a plain function, which would not be given the resource",
        """
        def hello(resource): return 5
        class T(Transformer):
            def transform(self, state, options): return state.define("hello", hello)
        R=res(ext(transformers=(T,)))
        R.hello()
        """,
    ),
    "function of sync": (
        "RK015",
        "hello is no async function",
        """
        @function
        def hello(resource): return 5
        class T(Transformer):
            def transform(self, state, options): return state.define("hello", hello)
        R=res(ext(transformers=(T,)))
        R.hello()
        """,
    ),
    "function of non function": (
        "RK015",
        "5 is no async function",
        """
        function(5)
        """,
    ),
    "define hides resource api": (
        "RK016",
        "E adds something to the functions under the name '__init__'",
        """
        @function
        async def f(resource): return 1
        class T(Transformer):
            def transform(self, state, options): return state.define("__init__", f)
        res(ext(transformers=(T,)))
        """,
    ),
    "add attribute dunder": (
        "RK016",
        "E adds something to the attributes under the name '__dict__'",
        """
        class T(Transformer):
            def transform(self, state, options): return state.add(Attribute.of("__dict__", int, default=1))
        res(ext(transformers=(T,)))
        """,
    ),
    "state.persist of non text": (
        "RK016",
        "E persists under 5, which is no text",
        """
        class T(Transformer):
            def transform(self, state, options): return state.persist(5, 5)
        res(ext(transformers=(T,)))
        """,
    ),
    "verifier async": (
        "RK015",
        "verify is async, and would not be awaited",
        """
        class V(Verifier):
            async def verify(self, info, options): return []
        res(ext(verifiers=(V,)))
        """,
    ),
    "verifier async gen": (
        "RK015",
        "verify is async, and would not be awaited",
        """
        class V(Verifier):
            async def verify(self, info, options): yield Finding(id="A",what="b",cure="c")
        res(ext(verifiers=(V,)))
        """,
    ),
    "verifier no params": (
        "RK015",
        "verify does not take the arguments info, options",
        """
        class V(Verifier):
            def verify(self): return []
        res(ext(verifiers=(V,)))
        """,
    ),
    "service sync run": (
        "RK015",
        "run is not async, and is awaited",
        """
        class S(Service):
            def interval(self, options): return timedelta(hours=1)
            def run(self, context): return 5
        R=res(ext(services=(S,)))
        Supervisor(R).run_now(R)
        """,
    ),
    "service run no ctx": (
        "RK015",
        "run does not take the arguments context",
        """
        class S(Service):
            def interval(self, options): return timedelta(hours=1)
            async def run(self): return 5
        R=res(ext(services=(S,)))
        Supervisor(R).run_now(R)
        """,
    ),
    "service interval no options": (
        "RK015",
        "interval does not take the arguments options",
        """
        class S(Service):
            def interval(self): return timedelta(hours=1)
            async def run(self, context): return 5
        R=res(ext(services=(S,)))
        Supervisor(R).run_now(R)
        """,
    ),
    "service interval attribute": (
        "RK015",
        "interval must be a method, is datetime.timedelta(seconds=3600)",
        """
        class S(Service):
            interval = timedelta(hours=1)
            async def run(self, context): return 5
        R=res(ext(services=(S,)))
        Supervisor(R).run_now(R)
        """,
    ),
    "service interval async": (
        "RK015",
        "interval is async, and would not be awaited",
        """
        class S(Service):
            async def interval(self, options): return timedelta(hours=1)
            async def run(self, context): return 5
        R=res(ext(services=(S,)))
        Supervisor(R)
        """,
    ),
    "service prepare sync": (
        "RK015",
        "prepare is not async, and is awaited",
        """
        class S(Svc):
            def prepare(self, context): return None
        R=res(ext(services=(S,)))
        Supervisor(R).run_now(R)
        """,
    ),
    "service lag sync": (
        "RK015",
        "lag is not async, and is awaited",
        """
        class S(Svc):
            def lag(self, context): return timedelta(0)
        R=res(ext(services=(S,)))
        h=Supervisor(R).health(lag=True)
        assert h.services[0].lag_error == "", h
        """,
    ),
    "check sync": (
        "RK015",
        "check is not async, and is awaited",
        """
        class C(Check):
            def check(self, info, options): return []
        R=res(ext(checks=(C,)))
        print([f.what for f in doctor(R)])
        """,
    ),
    "change one param": (
        "RK053",
        "has C among its changes, which does not take changeset and context",
        """
        class C(Change):
            def change(self, changeset): return changeset
        R=res(make2=lambda: create(accept=["id"], changes=[C()]))
        R.make2(id=1)
        """,
    ),
    "change batch returns fewer": (
        "RK056",
        "C.batch must return a changeset for each of the 2 that it gets, returned list",
        """
        class C(Change):
            def change(self, changeset, context): return changeset
            def batch(self, changesets, context): return []
        R=res(make2=lambda: create(accept=["id"], changes=[C()]))
        R.make2.bulk([{"id":1},{"id":2}])
        """,
    ),
    "change batch returns None": (
        "RK056",
        "C.batch must return a changeset for each of the 2 that it gets, returned NoneType",
        """
        class C(Change):
            def change(self, changeset, context): return changeset
            def batch(self, changesets, context): return None
        R=res(make2=lambda: create(accept=["id"], changes=[C()]))
        R.make2.bulk([{"id":1},{"id":2}])
        """,
    ),
    "hook wrong params": (
        "RK056",
        "the hook C.change.<locals>.<lambda> does not take 3 arguments",
        """
        class C(Change):
            def change(self, changeset, context): return changeset.after_action(lambda: None)
        R=res(make2=lambda: create(accept=["id"], changes=[C()]))
        R.make2(id=1)
        """,
    ),
    "service init args": (
        "RK016",
        "the service S of E cannot be made: TypeError",
        """
        class S(Svc):
            def __init__(self, x): self.x=x
        R=res(ext(services=(S,)))
        Supervisor(R)
        """,
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_step_is_told_with_its_code(mistake: str) -> None:
    """The error has a code of resourcekit, and its text names the step and what is wrong."""
    code, text, source = MISTAKES[mistake]

    error = refusal(source)

    assert code == getattr(error, "code", type(error).__name__)
    assert text in str(error)
