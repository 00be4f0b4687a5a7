"""Records in Redis or Valkey, one hash a record. It knows no other data layer."""

from __future__ import annotations

from resourcekit.data_layers.redis.layer import Redis

__all__ = ["Redis"]
