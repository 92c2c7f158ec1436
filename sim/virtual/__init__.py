"""Virtual arms: servers in their own process that a control loop cannot tell from hardware, physics behind."""
