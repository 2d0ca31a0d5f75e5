"""Controllers: how a team acts."""

REGISTRY: dict[str, str] = {
    "basic_mac": "controllers.basic_controller:BasicController",
    "asae_mac": "controllers.asae_controller:ASAEController",
    "mean_field_mac": "controllers.mean_field_controller:MeanFieldController",
    "ensemble_mac": "controllers.ensemble_controller:EnsembleController",
    "mat_mac": "controllers.mat_controller:MATController",
    "mat_dec_mac": "controllers.mat_controller:MATDecController",
}
