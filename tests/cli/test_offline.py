"""--offline: a server on this machine counts the requests that come; without the option they do."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.main import get_command

from xmatch.cli import app
from xmatch.cli.offline import SETTINGS, no_network
from xmatch.errors import InputError
from xmatch.io import ReadOptions, open_source

SERVER = """
import http.server, os, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    def parse_request(self):
        with open(sys.argv[1], "ab") as log:
            log.write(b".")
        return super().parse_request()
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@dataclass(frozen=True)
class Server:
    """Serves the files of a folder, and counts."""

    url: str
    log: Path

    @property
    def requests(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0


@pytest.fixture
def server(tmp_path, tmp_path_factory, monkeypatch):
    """In a process of its own: GDAL waits for an answer with Python's lock in its hands."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    log = tmp_path_factory.mktemp("server") / "requests"
    command = [sys.executable, "-c", SERVER, str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        yield Server(f"http://127.0.0.1:{process.stdout.readline().strip()}", log)
        process.kill()


def vrt_of(url: str) -> str:
    return f"""<VRTDataset rasterXSize="64" rasterYSize="48"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>
        <SourceFilename relativeToVRT="0">{url}</SourceFilename><SourceBand>1</SourceBand>
        </SimpleSource></VRTRasterBand></VRTDataset>"""


@pytest.mark.parametrize("prefix", ["", "/vsicurl/"])
@pytest.mark.parametrize("command", ["register", "match", "apply"])
def test_remote_images_are_asked_for_only_without_offline(cli, pair, server, command, prefix):
    given = ["optical.tif"]
    if command == "apply":
        assert cli("register", *pair, "--transform-only").code == 0
        given = ["sar.registered.report.json"]
    given += [f"{prefix}{server.url}/sar.tif", "--allow-remote"]
    found = cli(command, *given, "--offline")
    assert found.code == 3 and server.requests == 0, found.err
    cli(command, *given)
    assert server.requests > 0, "the test shows nothing"


@pytest.mark.parametrize("prefix", ["", "/vsicurl/"])
def test_a_vrt_of_remote_files_fetches_nothing_offline(pair, server, tmp_path, prefix):
    (tmp_path / "sar.vrt").write_text(vrt_of(f"{prefix}{server.url}/sar.tif"))
    with pytest.raises(InputError), open_source("sar.vrt", ReadOptions(allow_remote=True, offline=True)) as source:
        source.read()
    assert server.requests == 0
    with open_source("sar.vrt", ReadOptions(allow_remote=True)) as source:
        source.read()
    assert server.requests > 0, "the test shows nothing"


def test_a_refusal_names_the_option_that_forbids_it(cli, pair):
    found = cli("register", "optical.tif", "https://example.org/sar.tif", "--allow-remote", "--offline", "--json")
    assert "without --offline" in found.json["error"]["hint"]


def test_a_vrt_of_local_files_is_read_offline(cli, pair, tmp_path):
    (tmp_path / "sar.vrt").write_text(vrt_of(str(tmp_path / "sar.tif")))
    assert cli("register", "optical.tif", "sar.vrt", "--allow-remote", "--offline").code == 0


LOAD = """
import sys
from contextlib import nullcontext
from xmatch.cli.offline import no_network
with no_network() if sys.argv[1] == "offline" else nullcontext():
    from huggingface_hub import hf_hub_download
    try:
        hf_hub_download("nobody/nothing", "config.json")
    except OSError:
        print("not here")
"""


@pytest.mark.parametrize("how", ["offline", "online"])
def test_weights_on_the_hub_are_asked_for_only_without_offline(server, tmp_path, how):
    """In a process of its own: the libraries of the hub read the environment when they are imported."""
    env = {**os.environ, "HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", LOAD, how], env=env, capture_output=True, text=True, timeout=100)
    assert done.stdout == "not here\n", done.stderr
    assert (server.requests == 0) == (how == "offline")


def test_what_knows_no_such_option_finds_no_way_out(server):
    """torch.hub, say, which downloads by urllib, in a process that is started meanwhile."""
    command = [sys.executable, "-c", f"import urllib.request; urllib.request.urlopen('{server.url}')"]
    with no_network():
        assert subprocess.run(command, stderr=subprocess.DEVNULL).returncode and server.requests == 0
    assert subprocess.run(command).returncode == 0 and server.requests == 1


def test_the_environment_is_as_before_in_the_end(cli, pair, monkeypatch):
    monkeypatch.setenv("no_proxy", "localhost")
    before = dict(os.environ)
    assert cli("register", *pair, "--offline", "--no-report").code == 0
    assert dict(os.environ) == before


@pytest.mark.parametrize("name", [name for name in get_command(app).commands if name != "models"])
def test_every_command_that_could_reach_the_network_takes_it(name):
    assert "--offline" in {word for parameter in get_command(app).commands[name].params for word in parameter.opts}


def test_a_recipe_can_say_it(cli, pair, tmp_path):
    (tmp_path / "r.yaml").write_text("offline: true\nallow_remote: true\n")
    found = cli("register", "optical.tif", "https://example.org/sar.tif", "--recipe", "r.yaml")
    assert found.code == 3 and "without --offline" in found.err
