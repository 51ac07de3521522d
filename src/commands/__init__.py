"""The subcommands of src/dataset.py: each file has `add`, its flags, and runs what they ask for.

What needs PyTorch or HDF5 is imported when a command runs, so that --help answers at once.
"""
