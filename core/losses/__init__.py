"""Loss terms and how they are put together."""
