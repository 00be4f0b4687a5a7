"""The migrations of the app. It has no table."""
