"""From a state of the world to pictures: colour, depth, segmentation; OpenGL where there is one."""
