"""How the container image is made: the steps, the locks, and what keeps them current."""
