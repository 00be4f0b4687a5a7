"""Databases: the dialect base class, one folder for each database, and what all of them share: columns and errors."""
