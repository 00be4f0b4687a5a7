"""Operations on rows in Python: drafts of rows, and plans that read and write drafts.

Memory stores such rows, Redis fetches them. Both share this code, so an upsert or a sort order means the same in both.
"""
