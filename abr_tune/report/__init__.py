"""What a run found: tables, figures, one page."""
