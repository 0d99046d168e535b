"""What holds for every test."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "test",
    deadline=None,  # the machine is shared; pytest's timeout ends what hangs
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("test")
