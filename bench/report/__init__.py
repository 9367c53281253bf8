"""Results as a table and a chart."""
