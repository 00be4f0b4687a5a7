"""Who belongs to a domain when classes are declared again."""

from resourcekit import Attr, Domain, Resource, attribute
from resourcekit.data_layers import Memory


def declare(domain):
    """Return a class that has the same name each time."""

    class Ticket(Resource, domain=domain, data_layer=Memory()):
        id: Attr[int] = attribute(primary_key=True)

    return Ticket


def test_a_class_declared_again_takes_the_place_of_the_old_one():
    """In one domain, the last class of a name counts."""
    helpdesk = Domain("helpdesk")
    declare(helpdesk)
    latest = declare(helpdesk)

    assert (latest,) == helpdesk.resources


def test_a_class_of_the_same_name_in_another_domain_takes_nothing_away():
    """Domains are apart: what a function declares for one does not leave the other empty."""
    helpdesk, backoffice = Domain("helpdesk"), Domain("backoffice")
    one, other = declare(helpdesk), declare(backoffice)

    assert ((one,), (other,)) == (helpdesk.resources, backoffice.resources)
