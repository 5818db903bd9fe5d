"""Image sets: found by name, read from any form, split, augmented and handed to training in batches."""
