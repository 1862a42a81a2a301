"""What is asked: the grid file, its arms as ``fit`` would read them, and the runs that they come to."""
