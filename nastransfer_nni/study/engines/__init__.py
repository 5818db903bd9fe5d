"""Where the jobs of a study run: processes of this machine, or trials of NNI."""
