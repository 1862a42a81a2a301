"""What runs have shown: curves and tables."""
