"""The commands that come with tokens: ``token``, ``demo``, ``expunge`` and ``import``."""
