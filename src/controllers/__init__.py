"""Controllers: how a team acts."""

REGISTRY: dict[str, str] = {
    "basic_mac": "controllers.basic_controller:BasicController",
    "asae_mac": "controllers.asae_controller:ASAEController",
}
