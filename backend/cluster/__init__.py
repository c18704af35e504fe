"""Several replicas of the server behind one gateway. Only `ray_serve` imports Ray."""
