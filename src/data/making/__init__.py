"""`dataset.py make`: a recipe's layers, stages, files and bar; resumed after a kill."""
