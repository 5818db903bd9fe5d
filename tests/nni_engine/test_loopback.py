"""A Node.js server that names no host listens on this machine only."""

import shutil
import subprocess

import psutil
import pytest

from nastransfer_nni.nni_engine.manager import bind_to_localhost

SERVER = """
const server = require("net").createServer();
server.listen(%s, () => console.log(server.address().port));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
@pytest.mark.parametrize("arguments", ["0", "{port: 0}", '0, "127.0.0.1"', "0, 5"])
def test_server_listens_on_localhost_only(arguments):
    with bind_to_localhost(True):
        process = subprocess.Popen(
            ["node", "-e", SERVER % arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    try:
        port = int(process.stdout.readline())
        listening = {
            connection.laddr.ip
            for connection in psutil.Process(process.pid).net_connections()
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        }
        assert listening == {"127.0.0.1"}
    finally:
        process.kill()
        process.communicate()
