"""Live audio to transcriptions and interrupts; arrives with a later version."""
