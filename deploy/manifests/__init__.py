"""What an operator needs to run the fleet, written from the services' own declarations: ``make manifests``."""
