"""Runs statements: connections, pools, deadlines, retries, writes, streams and combined reads."""
