"""Writes reference pages and stubs from declarations. Only the command and the documentation use it, never a running program."""
