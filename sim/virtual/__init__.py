"""Arms and cameras that answer on a wire, with physics behind: servers in their own process."""
