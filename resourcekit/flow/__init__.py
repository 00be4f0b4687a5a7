"""Plain values that travel through an action: expressions, queries, changesets, contexts, results. They know nobody."""
