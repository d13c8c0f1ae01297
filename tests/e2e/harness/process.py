"""A server process that is always ended by its own process group, and whose log is shown when a test fails."""

import os
import signal
import subprocess
from pathlib import Path

LOGS: dict[Path, int] = {}
"""Every log file of this run, with its size when the running test began."""


def watch_log(path):
    LOGS.setdefault(path, 0)


class Server:
    def __init__(self, name, argv, output, environment=None):
        self.name = name
        self.argv = argv
        self.output = output
        self.environment = environment
        self.process = None
        watch_log(output)

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def spawn(self):
        assert not self.running, f"{self.name} runs already"
        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environment,
                start_new_session=True,
            )

    def assert_running(self):
        assert self.running, f"{self.name} ended with {self.process.returncode}"
        return True

    def kill(self):
        """Kills it as a power cut would: no handler runs."""
        self._signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self):
        if not self.running:
            return
        self._signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within 10 s of SIGTERM") from None

    def _signal(self, number):
        os.killpg(self.process.pid, number)
