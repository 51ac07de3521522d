"""The file format of recorded episodes: write, read (memory-mapped), check, describe."""
