"""One robot = one file: its description, its published limits with their source, and its RobotSpec."""
