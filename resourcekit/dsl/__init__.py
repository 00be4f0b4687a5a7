"""The declarative kit: how a class body becomes facts, and how extensions take part. It knows no resource."""
