"""From an exported artefact to a moving arm: descriptions, safety stages, the control loop and the drivers."""
