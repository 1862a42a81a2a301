"""Whether a student treats groups of people alike: in what it finds likely, and in what it answers."""
