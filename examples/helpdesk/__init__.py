"""A help desk: representatives answer the tickets of customers."""
