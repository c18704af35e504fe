"""Several copies of the server behind one door. Only `deployment` knows Ray."""
