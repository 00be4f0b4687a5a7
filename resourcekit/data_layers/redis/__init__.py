"""Records in Redis or Valkey, one hash for each record."""

from __future__ import annotations

from resourcekit.data_layers.redis.layer import Redis

__all__ = ["Redis"]
