"""One file for each package of environments: what its YAMLs name as `hook`. Also read by their paths in other interpreters."""
