"""Visual features: extractors by name, the engine that runs them, and the vectors they give."""
