"""NNI as the engine: experiments, their manager, and the trial that a process may be."""
