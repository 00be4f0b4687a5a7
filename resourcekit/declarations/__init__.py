"""The entities of a class body: attribute, argument, action, change, preparation, validation, identity, index.

They are an extension (Core) without privileges over other extensions.
"""
