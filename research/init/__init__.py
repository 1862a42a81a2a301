"""A first config from one's own data: ``table`` and ``columns`` look, ``choice`` decides, ``document`` writes."""
