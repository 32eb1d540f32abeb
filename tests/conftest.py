"""Settings of every test: random examples and all else that is random are drawn from fixed seeds, and signals end what
the tests start."""

import os
import random
import signal
import sys

# Before numpy is imported, and for the processes that tests start: matrices as small as the tests' take BLAS longer to
# share among threads than to multiply, many times as long beside other work.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: one thread each
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def pytest_configure():
    # A shell starts its background jobs, and nohup all it starts, with signals ignored; processes that
    # the tests start would inherit that.
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_runtest_setup():
    """No test's chance hangs on the tests before it; a library that no test has loaded yet has not drawn any."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
