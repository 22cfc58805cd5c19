"""Text to speech in chunks, and the voice registry; arrives with a later version."""
