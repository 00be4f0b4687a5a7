"""Deprecated name of ``resourcekit.clock``. Importing it gives that module itself, so a program that patches it patches the clock."""

from __future__ import annotations

import sys
import warnings

from resourcekit import clock

warnings.warn("resourcekit.flow.clock is now resourcekit.clock", DeprecationWarning, stacklevel=2)
sys.modules[__name__] = clock
