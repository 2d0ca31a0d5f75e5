"""What everything else stands on."""

import warnings

warnings.filterwarnings("ignore", message="pkg_resources is deprecated")  # Sacred imports it
