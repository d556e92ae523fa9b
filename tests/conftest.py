"""Settings for all tests: how many examples hypothesis tries.

``dev`` is the default, ``ci`` is taken when the environment has ``CI``, ``long`` is for ``make fuzz``;
``--hypothesis-profile=NAME`` chooses another one. No profile has a deadline: nothing here asserts how long
something takes, so a slow machine makes tests slow and not red.
"""

import os

from hypothesis import HealthCheck, settings

UNTIMED = settings(deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])

# (`derandomize` is said each time, because hypothesis has it on by itself where it sees a CI.)
settings.register_profile("dev", UNTIMED, max_examples=100, derandomize=False)
# The same examples each time, so that a red run tells about the change; `dev` and `long` search at random.
settings.register_profile("ci", UNTIMED, max_examples=300, derandomize=True, database=None)
settings.register_profile("long", UNTIMED, max_examples=20_000, derandomize=False)

settings.load_profile("ci" if os.environ.get("CI", "").lower() not in ("", "0", "false") else "dev")
