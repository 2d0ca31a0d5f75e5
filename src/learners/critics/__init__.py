"""Critics as parts of an actor-critic learner: what they see, what they are fitted to, how they are fitted."""
