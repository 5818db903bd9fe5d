"""Storage forms of image files: Arrow tables, folders, tar shards, memory, streams.

Pickled stores are small, since every data worker gets a copy.
"""
