"""What the results say: statistics, tables, plots, and the files that hold them."""
