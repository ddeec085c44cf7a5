"""abr-tune: a declarative search harness for training runs that collapse."""

__version__ = "0.1.0"
