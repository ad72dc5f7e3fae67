"""Run benchmarks in this process: starting Python for each run takes longer than the run."""

import pytest
from benchmark_runs import Command, immr_case, listings_case

from benchmarks.harness import command as harness_command


@pytest.fixture(scope="session")
def immr(tmp_path_factory):
    return immr_case(tmp_path_factory.mktemp("immr"))


@pytest.fixture(scope="session")
def listings(tmp_path_factory):
    pytest.importorskip("peft", reason="adapters need the extra 'lora'")
    return listings_case(tmp_path_factory.mktemp("listings"))


@pytest.fixture
def make_command(tmp_path, monkeypatch, fresh_accelerate):
    """Build a command whose runs are executed in this process."""

    def build(case) -> Command:
        output = tmp_path / "out"
        output.mkdir()
        (output / "data").symlink_to(case.data, target_is_directory=True)
        command = Command(case, output)

        def start(script, argv, log):
            fresh_accelerate()
            command.started.append(argv[1])
            try:
                return harness_command.run_benchmark(case.kind, argv)
            except Exception as error:
                print(repr(error), file=log)
                return 1

        monkeypatch.setattr(harness_command, "start_script", start)
        return command

    return build
