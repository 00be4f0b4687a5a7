"""resourcekit_web: sign-in, cookies and errors for web apps over a token resource.

Each framework has a module of its own, which is imported only by name: ``from resourcekit_web.fastapi import TokenAuth``. This
module imports none of them.
"""

from __future__ import annotations

from resourcekit_web.core.settings import Client
from resourcekit_web.core.signed_in import SignedIn

__all__ = ["Client", "SignedIn"]
