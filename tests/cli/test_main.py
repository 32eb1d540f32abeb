"""What `xmatch` answers before any command runs."""

import os
import subprocess
import sys

import pytest
from typer.main import get_command

from xmatch import __version__
from xmatch.cli import app

COMMANDS = get_command(app).commands


def test_the_commands_are_there():
    assert {"register", "match", "apply"} <= set(COMMANDS)


def test_version(cli):
    assert cli("--version").out == f"xmatch {__version__}\n"


def test_show_versions_names_what_can_change_a_result(cli):
    lines = cli("--show-versions").out.splitlines()
    found = dict(line.split(": ", 1) for line in lines)
    assert {"xmatch", "python", "numpy", "opencv-python", "SimpleITK", "torch", "GDAL", "PROJ"} <= set(found)
    assert found["GDAL"][0].isdigit()


def test_without_a_command_the_help_is_shown(cli):
    result = cli()
    assert result.code == 2 and "register" in result.out + result.err


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_of_every_command_has_help(name):
    assert COMMANDS[name].help
    assert not [p.name for p in COMMANDS[name].params if not p.help]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_an_option_means_the_same_in_every_command(name):
    """One spelling for one meaning: an option of the same name has the same type wherever it stands."""
    kinds = {}
    for command in COMMANDS.values():
        for parameter in command.params:
            if parameter.param_type_name == "option":
                kinds.setdefault(parameter.opts[0], set()).add(parameter.is_flag)
    assert all(len(kind) == 1 for kind in kinds.values())


def test_completion_is_offered(cli):
    assert "--install-completion" in cli("--help").out


def test_the_console_script_has_threads_sleep_while_they_wait():
    """Before torch is there, which reads it as it is imported."""
    told = """if True:
        import os, sys
        import xmatch.cli as cli
        cli.run = lambda *_: print(os.environ["OMP_WAIT_POLICY"], "torch" in sys.modules)
        cli.main()
    """
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.split() == ["PASSIVE", "False"]
