"""Bridges to other libraries: they keep issuing and verifying their tokens, and ask a token resource which of them are revoked.

Each library has a module of its own, which is imported only by name. This module imports none of them.
"""

from __future__ import annotations

from resourcekit_web.bridges.claims import Bridge

__all__ = ["Bridge"]
