"""relate_actor and cascade_destroy, and the changes over relationships that are refused at declaration."""

from __future__ import annotations

import secrets
from types import SimpleNamespace
from typing import Any

import pytest

from resourcekit import (
    Attr,
    Domain,
    Many,
    One,
    Resource,
    attribute,
    belongs_to,
    cascade_destroy,
    context,
    create,
    destroy,
    has_many,
    identity,
    manage,
    query,
    relate_actor,
    related,
    update,
)
from resourcekit.data_layers import SQL, Memory, Redis
from resourcekit.errors import DeclarationError, ForeignKeyViolation, Invalid, InvalidArgument, UniqueViolation
from tests.support import valkey
from tests.support.databases import MISSING


@pytest.fixture
def blog(any_layer: Any) -> Any:
    """Posts of users, and comments that answer a post or another comment; what notifiers were reported."""
    domain, reported = Domain("blog"), []

    def tell(notification: Any) -> None:
        reported.append((notification.resource.__name__, notification.record.id))

    class User(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(primary_key=True)
        join = create(accept=["id"])

    class Comment(Resource, domain=domain, data_layer=any_layer(), notifiers=[tell]):
        id: Attr[int] = attribute(primary_key=True)
        post_id: Attr[int] = attribute()
        answers_id: Attr[int | None] = attribute(default=None)
        is_kept: Attr[bool] = attribute(default=False)
        post: One[Post] = belongs_to("post_id", to=lambda: Post)
        answers: Many[Comment] = has_many("answers_id", to=lambda: Comment)
        write = create(accept=["id", "post_id", "answers_id", "is_kept"])
        wipe = destroy(
            changes=[cascade_destroy("answers")],
            validations=[lambda changeset, context: "is kept" if changeset.record.is_kept else None],
        )

    class Post(Resource, domain=domain, data_layer=any_layer(), notifiers=[tell]):
        id: Attr[int] = attribute(primary_key=True)
        author_id: Attr[int | None] = attribute(default=None)
        author: One[User | None] = belongs_to("author_id", to=lambda: User)
        comments: Many[Comment] = has_many("post_id", to=lambda: Comment, where=lambda: Comment.answers_id == None)  # noqa: E711  # an expression
        write = create(accept=["id"], changes=[relate_actor("author")])
        note = create(accept=["id"], changes=[relate_actor("author", allow_none=True)])
        take = update(changes=[relate_actor("author")])
        remove = destroy(changes=[cascade_destroy("comments")])
        drop = destroy()

    domain.create_storage()
    User.join.bulk([{"id": 1}, {"id": 2}])
    return SimpleNamespace(User=User, Comment=Comment, Post=Post, reported=reported)


def test_the_actor_is_related(blog: Any) -> None:
    """The key is that of the actor, in a create and an update; without an actor it is Invalid, or left as it is."""
    ada, bo = query(blog.User).sort("id").all()
    with context(actor=ada):
        post = blog.Post.write(id=1)
    taken = blog.Post.take.using(actor=bo)(post)
    noted = blog.Post.note(id=2)

    with pytest.raises(Invalid, match=r"Post\.write: author: needs an actor"):
        blog.Post.write(id=3)
    with pytest.raises(InvalidArgument, match="the actor is a Post, and author needs a User"):
        blog.Post.write.using(actor=post)(id=3)

    assert (1, 2, None) == (post.author_id, taken.author_id, noted.author_id)


def test_related_records_are_destroyed_first_by_their_own_action(blog: Any) -> None:
    """Comments, and answers to them, go before the post, and notifiers learn of each; without the step the key refuses."""
    post = blog.Post.note(id=1)
    blog.Comment.write.bulk([{"id": 1, "post_id": 1}, {"id": 2, "post_id": 1}, {"id": 3, "post_id": 1, "answers_id": 1}])
    blog.reported.clear()

    with pytest.raises(ForeignKeyViolation):
        blog.Post.drop(post)
    blog.Post.remove(post)

    assert [("Comment", 3), ("Comment", 1), ("Comment", 2), ("Post", 1)] == blog.reported
    assert 0 == query(blog.Comment).count()


def test_a_refused_removal_of_a_related_record_undoes_all(blog: Any) -> None:
    """One comment that is kept keeps the post and the others."""
    post = blog.Post.note(id=1)
    blog.Comment.write.bulk([{"id": 1, "post_id": 1}, {"id": 2, "post_id": 1, "is_kept": True}])

    with pytest.raises(Invalid, match="is kept"):
        blog.Post.remove(post)

    assert (1, 2) == (query(blog.Post).count(), query(blog.Comment).count())


def refused(step: Any, *, on: Any = update, layers: Any = (Memory, Memory), **inner: Any) -> str:
    """Declare two resources and a step on the outer one, and return the error of it."""
    domain, attributes = (
        Domain("refused"),
        {"update": update(accept=["name"]), "destroy": destroy(), "create": create(accept=["id"])},
    )
    attributes |= inner

    class Leaf(Resource, domain=domain, data_layer=layers[1]()):
        id: Attr[int] = attribute(primary_key=True)
        name: Attr[str | None] = attribute(default=None)
        tree_id: Attr[int] = attribute()
        tree: One[Tree] = belongs_to("tree_id", to=lambda: Tree, on_delete="nothing")
        by_tree = identity("tree_id")
        if attributes["create"]:
            create = attributes["create"]
        if attributes["update"]:
            update = attributes["update"]
        if attributes["destroy"]:
            destroy = attributes["destroy"]

    class Tree(Resource, domain=domain, data_layer=layers[0]()):
        id: Attr[int] = attribute(primary_key=True)
        name: Attr[str | None] = attribute(default=None)
        leaves: Many[Leaf] = has_many("tree_id", to=lambda: Leaf)
        few: Many[Leaf] = has_many("tree_id", to=lambda: Leaf, limit=2)
        reported: Many[Leaf] = related(load=lambda records: {}, to=lambda: Leaf)
        act = on(changes=[step])

    with pytest.raises(DeclarationError) as error:
        domain.seal()
    assert error.value.code == "RK100"
    return str(error.value)


def test_steps_that_cannot_work_are_refused_at_declaration() -> None:
    """Each error names the action, the problem and the next step."""
    control = manage("leaves", kind="direct_control")

    assert "names 'leafs', which is no relationship of Tree" in refused(manage("leafs", kind="create"))
    assert "the key Leaf.tree_id must not be None" in refused(manage("leaves", kind="append_and_remove"))
    assert "has no update actions" in refused(control, update=None)
    assert "has no destroy actions" in refused(control, destroy=None)
    assert "Leaf.plant is no create action" in refused(manage("leaves", kind="create", create="plant"))
    assert "which is no identity of Leaf" in refused(manage("leaves", kind="direct_control", match_by="by_name"))
    assert "has no attribute besides the key" in refused(manage("leaves", kind="direct_control", match_by="by_tree"))
    assert "'name' of Leaf, which is str | None" in refused(manage("leaves", kind="direct_control", order_by="name"))
    assert "few is limited" in refused(manage("few", kind="create"))
    assert "which a function loads" in refused(manage("reported", kind="create"))
    assert "manage belongs in a create or an update" in refused(control, on=destroy)
    assert "relate_actor names leaves, which is a has_many" in refused(relate_actor("leaves"))
    assert "cascade_destroy belongs in a destroy action" in refused(cascade_destroy("leaves"))
    for wrong in ({"kind": "both"}, {"on_match": "merge"}, {}):
        with pytest.raises(DeclarationError, match="RK100"):
            manage("leaves", **wrong)


def test_writes_that_are_no_transaction_are_refused(tmp_path: Any) -> None:
    """Two stores are reported at declaration with the cure; so are two slots of Redis."""
    tags = iter("ab")
    redis = lambda: Redis("redis://127.0.0.1:1/0", tag=next(tags))  # noqa: E731  # never connected
    file = lambda: SQL(f"sqlite:///{tmp_path}/a.db", table="leaf")  # noqa: E731

    reported = refused(manage("leaves", kind="create"), layers=(Memory, file))

    assert "which is kept in another store: no transaction holds both · Keep both resources in one store" in reported
    assert "which is kept in another store" in refused(manage("leaves", kind="create"), layers=(redis, redis))


@pytest.mark.slow
def test_one_tag_of_valkey_holds_both_resources() -> None:
    """Resources of one tag are written in one transaction, and a finding undoes all of it."""
    if valkey.binary() is None:
        pytest.skip(f"{MISSING}Valkey")
    domain, url, tag = Domain("valkey"), valkey.shared().url, secrets.token_hex(6)

    class Leaf(Resource, domain=domain, data_layer=Redis(url, tag=tag)):
        id: Attr[int] = attribute(primary_key=True)
        tree_id: Attr[int] = attribute()
        size: Attr[int] = attribute(maximum=9)
        grow = create(accept=["id", "size"])
        change = update(accept=["size"])
        fall = destroy()

    class Tree(Resource, domain=domain, data_layer=Redis(url, tag=tag)):
        id: Attr[int] = attribute(primary_key=True)
        leaves: Many[Leaf] = has_many("tree_id", to=lambda: Leaf)
        plant = create(accept=["id"], changes=[manage("leaves", kind="create")])
        edit = update(changes=[manage("leaves", kind="direct_control")])

    domain.create_storage()
    tree = Tree.plant(id=1, leaves=[{"id": 1, "size": 1}, {"id": 2, "size": 2}])
    Tree.edit(tree, leaves=[{"id": 2, "size": 3}, {"id": 3, "size": 3}])
    with pytest.raises(Invalid, match=r"leaves\.0\.size"):
        Tree.edit(tree, leaves=[{"id": 2, "size": 10}])
    with pytest.raises(UniqueViolation):
        Tree.plant(id=2, leaves=[{"id": 4, "size": 1}, {"id": 2, "size": 1}])

    assert [(2, 3), (3, 3)] == [(each.id, each.size) for each in query(Leaf).sort("id").all()]
    assert 1 == query(Tree).count()
