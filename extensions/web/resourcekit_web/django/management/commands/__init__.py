"""Commands of ``manage.py`` for the sessions and tokens of users."""
