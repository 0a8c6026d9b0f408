"""What a plant's lines should run: orders that two people sign, and the agent that follows them."""
