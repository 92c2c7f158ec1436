"""What hooks have in common, or what would make one too long: read through `_part`, since no search path holds it in another interpreter."""
