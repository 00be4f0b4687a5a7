"""Claims that are numbers where text belongs."""

import base64
import json

import pytest

from resourcekit_tokens.errors import InvalidToken
from resourcekit_tokens.signature import read_claims


@pytest.mark.parametrize("family", [1e308, 0.5, 7, True])
def test_numbers_of_any_size_are_garbage(family):
    """A jti of 400 digits beside a fraction is refused by its name, like any other number."""
    parts = [{"alg": "HS256"}, {"jti": 10**400, "fam": family, "exp": 1893459600}]
    token = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in [*parts, {}])
    with pytest.raises(InvalidToken) as refused:
        read_claims(token)

    assert "jti" == refused.value.claim
