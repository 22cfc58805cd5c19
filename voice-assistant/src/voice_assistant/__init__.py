"""A spoken question to a spoken answer; arrives with a later version."""
