"""The shared library of the fleet: everything a service needs between NATS and its inference servers."""
