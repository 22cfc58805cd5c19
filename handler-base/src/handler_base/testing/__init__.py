"""Real servers and named fakes for the tests of every service."""
