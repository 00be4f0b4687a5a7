"""What operations mean, in Python: rows, drafts of them, and plans that read and write drafts. It knows no store.

Memory keeps such rows, Redis fetches them; what an upsert or an order means is the same code for both.
"""
