"""From frames to frame results: loading a model, running it over a video in bounded memory, writing what it says."""
