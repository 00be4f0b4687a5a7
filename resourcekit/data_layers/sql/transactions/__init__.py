"""Transactions: the block of `transaction()`, and `joined` for the transactions of the user."""
