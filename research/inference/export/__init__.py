"""A checkpoint's student for programs that do not know this one: a file a format."""
