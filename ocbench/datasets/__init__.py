"""One file per dataset, each found through its entry point; nobody imports them all."""
