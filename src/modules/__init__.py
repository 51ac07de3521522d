"""Networks. They take numbers and tensors, never a configuration."""
