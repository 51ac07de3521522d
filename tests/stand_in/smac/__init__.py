"""A stand-in for SMAC: StarCraft2Env's interface over a game of our own, for tests without either.

It was compared with SMAC 1.0.0: sizes of every map, types, keys of the info, what a crash, a time
limit and a mistake look like.
"""
