"""Label sets: names, synonyms, thresholds, translations. Needs no torch."""
