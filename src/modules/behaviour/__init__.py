"""Models of the policy that made the data."""
