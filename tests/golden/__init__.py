"""Numbers made by reference implementations, and the tools that hold the engine to them."""
