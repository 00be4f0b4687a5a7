"""The action engine: runs one action from input to result. It is written as ``async def``; ``drive`` also runs it in sync
calls.
"""
