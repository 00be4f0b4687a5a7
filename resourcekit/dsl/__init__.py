"""The declarative kit: compiles a class body to facts, with the help of extensions."""
