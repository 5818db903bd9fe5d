"""The forms in which image files are kept: Arrow tables, folders, tar shards, memory, streams.

Every store is small to pickle, since data workers get a copy of it.
"""
