"""Runs one action from input to result. Written once as ``async def``; ``drive`` gives it both colours."""
