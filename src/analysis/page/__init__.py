"""The report page: one HTML file with its numbers, styles and scripts in it."""
