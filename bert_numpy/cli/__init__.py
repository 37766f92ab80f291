"""The command line, `bert-numpy`: arguments and printing only; every command calls a function of the package."""

from .main import main

__all__ = ["main"]
