"""The report page of a run: rows, figures, and one HTML file that needs nothing else."""
