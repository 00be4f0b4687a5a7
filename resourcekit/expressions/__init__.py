"""Expressions over the fields of one record: their nodes, their evaluation, and how they are rewritten."""
