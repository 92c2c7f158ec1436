"""Arms as MjSpecs, ready to be attached to a scene: from our MJCF, from URDF packages, from MuJoCo Menagerie."""
