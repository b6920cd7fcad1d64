"""Property tests draw the same examples on every run, and are not judged by the speed of a busy machine."""

from hypothesis import HealthCheck, settings

settings.register_profile("marrow", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("marrow")
