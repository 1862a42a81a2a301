"""What a run would need: counted from its own step on tensors without memory, and formulas over the counts."""
