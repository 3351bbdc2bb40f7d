"""From annotations on disk, or from a seed, to training samples. Import the module that you need."""
