"""LeRobotDataset on disk, v3.0 and v2.1: where files lie, how they are read, and how one durable episode at a time is written."""
