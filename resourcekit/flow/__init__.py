"""Deprecated. Only ``resourcekit.flow.clock`` is left, for programs that replace the clock by this name."""
