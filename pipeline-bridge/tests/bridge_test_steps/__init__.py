"""Steps that the tests have run as processes."""
