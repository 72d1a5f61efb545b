"""One self-contained HTML page on runs and trainings: what was done, how often, and what it looks like."""
