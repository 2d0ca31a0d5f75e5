import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # toy_vec_envs; appended, so that it hides nothing of src
