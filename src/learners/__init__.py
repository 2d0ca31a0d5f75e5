"""Learners: how a team improves."""

REGISTRY: dict[str, str] = {
    "asae_learner": "learners.asae_learner:ASAELearner",
    "coma_learner": "learners.coma_learner:COMALearner",
    "ppo_learner": "learners.ppo_learner:PPOLearner",
    "q_learner": "learners.q_learner:QLearner",
}
