"""Several replicas of the server behind one gateway, on Ray Serve."""
