"""One test for each way in which a command ends; signals have a file of their own."""

import pytest

from xmatch.cli.runtime import as_failure
from xmatch.errors import ExitCode


def test_0_done_and_trusted(cli, pair):
    assert cli("register", *pair).code == ExitCode.OK


def test_1_a_bug_is_one_line_that_asks_for_debug(cli, pair, behave):
    behave("bug")
    result = cli("register", *pair)
    assert result.code == ExitCode.INTERNAL
    assert result.err.count("\n") == 1 and "--debug" in result.err and "ZeroDivisionError" in result.err


def test_debug_shows_the_trace(cli, pair, behave):
    behave("bug")
    assert "Traceback" in cli("register", *pair, "--debug").err


@pytest.mark.parametrize(
    "args",
    [
        ["--no-such-option"],
        ["register", "one.tif"],
        ["register", "a.tif", "b.tif", "c.tif"],
        ["register", "a.tif", "b.tif", "--transform", "rubber"],
        ["register", "a.tif", "b.tif", "--seed", "many"],
        ["register", "a.tif", "b.tif", "--max-memory", "lots"],
        ["register", "a.tif", "b.tif", "--device", "abacus"],
        ["register", "a.tif", "b.tif", "--pairs", "list.csv"],
        ["regster", "a.tif", "b.tif"],
    ],
)
def test_2_wrong_usage(cli, pair, args):
    result = cli(*args)
    assert result.code == ExitCode.USAGE
    assert result.err.count("\n") == 1 and result.out == ""


@pytest.mark.parametrize("command", ["register", "match"])
def test_3_unusable_input(cli, pair, command):
    result = cli(command, "optical.tif", "none.tif", "--json")
    assert result.code == ExitCode.INPUT
    assert result.json["error"]["path"] == "none.tif"


def test_4_not_to_be_trusted(cli, pair, behave):
    behave("untrusted")
    assert cli("register", *pair).code == ExitCode.UNTRUSTED


def test_5_output_problem(cli, pair):
    assert cli("register", *pair, "-o", "sar.tif/x.tif").code == ExitCode.OUTPUT


def test_6_model_problem(cli, pair, behave):
    behave("model_error")
    assert cli("register", *pair).code == ExitCode.MODEL


def test_7_out_of_memory(cli, pair, behave):
    behave("out_of_memory")
    assert cli("register", *pair).code == ExitCode.RESOURCES


def test_7_out_of_gpu_memory_is_known_without_importing_torch():
    class OutOfMemoryError(RuntimeError):
        """As torch names its own."""

    assert as_failure(OutOfMemoryError("CUDA")).exit_code == ExitCode.RESOURCES


def test_8_a_batch_with_failed_items(cli, pair, tmp_path):
    (tmp_path / "list.csv").write_text("optical.tif,none.tif\n")
    assert cli("register", "--pairs", "list.csv").code == ExitCode.BATCH


@pytest.mark.parametrize(
    ("behaviour", "kind"), [("bug", "internal"), ("model_error", "model"), ("out_of_memory", "resources")]
)
def test_with_json_a_failure_is_one_json_line(cli, pair, behave, behaviour, kind):
    behave(behaviour)
    result = cli("register", *pair, "--json")
    assert result.out.count("\n") == 1
    assert result.json["schema"] == "xmatch.failure/1" and result.json["ok"] is False
    assert result.json["exit_code"] == result.code
    assert set(result.json["error"]) == {"code", "message", "hint", "path"} and result.json["error"]["code"] == kind


def test_a_wrong_command_line_is_json_too(cli):
    assert cli("register", "--json", "--no-such-option").json["error"]["code"] == "usage"


def test_json_after_two_dashes_is_a_file_name(cli, pair):
    assert cli("register", "--", "optical.tif", "--json").out == ""


@pytest.mark.parametrize("behaviour", ["bug", "model_error", "out_of_memory"])
def test_a_failure_writes_nothing(cli, pair, behave, tmp_path, behaviour):
    behave(behaviour)
    before = sorted(tmp_path.iterdir())
    cli("register", *pair)
    assert sorted(tmp_path.iterdir()) == before
