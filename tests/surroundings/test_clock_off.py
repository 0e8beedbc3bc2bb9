"""A computer whose clock is ten minutes off takes no calls, and takes them again once it is set right."""

from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

from support.starting import Fresh, Ground

TEN_MINUTES = "600"


def test_every_service_says_that_its_clock_is_off_and_takes_no_calls(
    ground: Ground, service_database: Fresh, tmp_path: Path
) -> None:
    clock = tmp_path / "clock"
    clock.write_text(TEN_MINUTES)
    with ExitStack() as stack:
        processes = [
            stack.enter_context(ground.started(name, ground.environment(name, service_database(name)), clock=clock))
            for name in ("binding", "settlement", "notify")
        ]
        for process in processes:
            told = process.says(lambda probe: "clock" in probe.why)
            assert "clock: this computer's clock is 600 s ahead of the database's; set right whichever" in told.why
            assert not process.is_ready_for_the_kubelet()
            assert [(line["event"], line["check"]) for line in process.errors()] == [("not ready", "clock")]


def test_a_clock_that_is_set_right_is_noticed_without_a_restart(
    ground: Ground, service_database: Fresh, tmp_path: Path
) -> None:
    clock = tmp_path / "clock"

    def set_off_by(seconds: str) -> None:
        """Never seen half-written."""
        draft = tmp_path / "draft"
        draft.write_text(seconds)
        draft.replace(clock)

    set_off_by(f"-{TEN_MINUTES}")
    environment = ground.environment("identity", service_database("identity"))
    with ground.started("identity", environment, clock=clock) as process:
        process.says(lambda probe: "s behind the database's" in probe.why)
        assert process.metric("gongji_clock_offset_seconds") < -595
        set_off_by("45")
        process.says(lambda probe: probe.ready and "clock: this computer's clock is 45 s ahead" in probe.warning)
        set_off_by("0")
        process.says(lambda probe: probe.well)
        assert process.is_ready_for_the_kubelet()
        assert [line["event"] for line in process.errors()] == ["not ready"]
        # A year on the certificate has run out, by this clock.
        set_off_by(str(timedelta(days=500).total_seconds()))
        ended = process.says(lambda probe: "certificates" in probe.why)
        assert "(spiffe://gongji-local/service/identity) was good from " in ended.why
        assert process.stopped() == 0
