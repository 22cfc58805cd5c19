"""The commands that speak and listen: `fleet say`, `voice`, `listen` and `talk`."""
