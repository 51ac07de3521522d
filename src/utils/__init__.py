"""Configuration, logging, checkpoints and the equations that several algorithms share."""
