"""Keys: how they are declared, read from their formats, and fetched from providers."""
