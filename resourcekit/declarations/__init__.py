"""The words of a class body: attribute, argument, action, change, preparation, validation, identity, index.

They are themselves an extension (Core), with no privilege that another extension lacks.
"""
