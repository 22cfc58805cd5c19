"""Pipelines triggered and followed over NATS; arrives with a later version."""
