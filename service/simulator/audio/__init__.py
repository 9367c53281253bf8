"""Audio of simulated calls: WAV files, codecs, faults."""
