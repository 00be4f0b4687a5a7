"""The bridge to FastAPI Users: a ``Strategy`` whose tokens are issued, checked and ended by a token resource.

::

    backend = AuthenticationBackend(name="jwt", transport=BearerTransport("auth/login"), get_strategy=lambda: TokenStrategy(Token))
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Generic

from fastapi import HTTPException
from fastapi_users import models
from fastapi_users.authentication.strategy import Strategy
from fastapi_users.exceptions import InvalidID, UserNotExists
from fastapi_users.manager import BaseUserManager

from resourcekit.errors import DataLayerError
from resourcekit_tokens.errors import InvalidToken

__all__ = ["TokenStrategy"]


class TokenStrategy(Strategy[models.UP, models.ID], Generic[models.UP, models.ID]):
    """Issues a token of the resource at a sign-in, and revokes it at a log-out. A store that does not answer is a 503.

    resource: a token resource with keys. lifetime: of a token; that of its purpose unless given.
    claims: further claims of each token.
    """

    def __init__(self, resource: Any, *, lifetime: timedelta | None = None, claims: Mapping[str, Any] | None = None) -> None:
        self.resource, self.lifetime, self.claims = resource, lifetime, claims

    async def read_token(self, token: str | None, user_manager: BaseUserManager[models.UP, models.ID]) -> models.UP | None:
        """Return the user of a token; None without a valid one."""
        if token is None:
            return None
        try:
            subject = (await self.resource.verify.aio(token)).subject
            return None if subject is None else await user_manager.get(user_manager.parse_id(subject))
        except (InvalidToken, InvalidID, UserNotExists):
            return None
        except DataLayerError as error:
            raise _unavailable() from error

    async def write_token(self, user: models.UP) -> str:
        """Return a new token of a user."""
        try:
            issued = await self.resource.issue.aio(str(user.id), lifetime=self.lifetime, claims=self.claims)
        except DataLayerError as error:
            raise _unavailable() from error
        token: str = issued.token
        return token

    async def destroy_token(self, token: str, user: models.UP) -> None:
        """Revoke a token. One that is not valid any more stays so."""
        try:
            await self.resource.revoke.aio(token, reason="signed out")
        except InvalidToken:
            return
        except DataLayerError as error:
            raise _unavailable() from error


def _unavailable() -> HTTPException:
    return HTTPException(503, "The service cannot check the token now. Try again.", headers={"Retry-After": "5"})
