"""What every run is made of: the batch of episodes, the buffers that hold episodes, exploration."""
