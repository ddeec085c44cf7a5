"""The `abr-tune` command."""
