"""Storage and its maintenance: tables and indexes, sweeps, leases."""
