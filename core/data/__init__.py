"""Recordings: where they come from, how they are split, balanced and described."""
