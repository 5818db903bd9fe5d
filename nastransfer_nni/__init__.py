"""Does the cell that an architecture search found on cheap data carry over to the large target?"""

__version__ = "0.2.0"
