"""The bridge to Flask-JWT-Extended: the app keeps its decorators and functions, a token resource keeps the blocklist.

::

    jwt = JWTManager(app)
    bridge = connect(jwt, Token)

    @app.delete("/logout")
    @jwt_required(verify_type=False)
    def logout():
        bridge.revoke(get_jwt())
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask_jwt_extended import JWTManager

from resourcekit_web.bridges.claims import Bridge

__all__ = ["connect"]


def connect(manager: JWTManager, resource: Any, *, subject_claim: str = "sub") -> Bridge:
    """Let a ``JWTManager`` ask a token resource which tokens are revoked, and return the bridge.

    Call it after your own ``user_identity_loader`` and ``additional_claims_loader``; the claims of the latter stay.

    Args:
        manager: of the app.
        resource: the token resource.
        subject_claim: the value of ``JWT_IDENTITY_CLAIM``, if the app changes it.
    """
    bridge = Bridge(resource=resource, subject_claim=subject_claim)
    # The manager has no public way to read its callbacks.
    own_claims, identity_of = manager._user_claims_callback, manager._user_identity_callback  # noqa: SLF001  # as above

    def claims_of(identity: Any) -> dict[str, Any]:
        return {**own_claims(identity), **bridge.issued(identity_of(identity))}

    def is_revoked(_header: Mapping[str, Any], payload: Mapping[str, Any]) -> bool:
        return bridge.is_revoked(payload)

    manager.additional_claims_loader(claims_of)
    manager.token_in_blocklist_loader(is_revoked)
    return bridge
