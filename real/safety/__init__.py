"""Pure safety stages, one per file, run by the control loop before every write. None can be skipped."""
