"""Compiles operations and expressions to SQL statements. Nothing in it speaks to a database."""
