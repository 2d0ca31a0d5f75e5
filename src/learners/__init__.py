"""Learners: how a team improves."""

REGISTRY: dict[str, str] = {
    "asae_learner": "learners.asae_learner:ASAELearner",
    "coma_learner": "learners.coma_learner:COMALearner",
    "dop_learner": "learners.dop_learner:DOPLearner",
    "facmac_learner": "learners.facmac_learner:FACMACLearner",
    "happo_learner": "learners.happo_learner:HAPPOLearner",
    "hatrpo_learner": "learners.hatrpo_learner:HATRPOLearner",
    "maddpg_learner": "learners.maddpg_learner:MADDPGLearner",
    "mat_dec_learner": "learners.mat_learner:MATDecLearner",
    "mat_learner": "learners.mat_learner:MATLearner",
    "mf_ac_learner": "learners.mf_ac_learner:MFACLearner",
    "mf_q_learner": "learners.mf_q_learner:MFQLearner",
    "ppo_learner": "learners.ppo_learner:PPOLearner",
    "q_learner": "learners.q_learner:QLearner",
    "qtran_learner": "learners.qtran_learner:QTRANLearner",
    "wqmix_learner": "learners.wqmix_learner:WQMIXLearner",
}
