# SPDX-License-Identifier: Apache-2.0
"""The process: a socket, a log, and an orderly end."""

import logging
import socket

import uvicorn

from pollux import Model
from pollux.errors import InputError
from pollux.serve import sandbox
from pollux.serve.app import create
from pollux.serve.settings import Settings

log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """Says where it is once it can be asked."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for one in sockets or ():
            host, port = one.getsockname()[:2]
            log.info("ready at http://%s:%d", f"[{host}]" if ":" in host else host, port)


def run(model: Model, settings: Settings, grace: int) -> None:
    """Serves until SIGINT or SIGTERM; answers under way then have `grace` seconds."""
    # Plain: a line for each request, and coloured ones cost as much as its answer's way out.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    config = uvicorn.Config(
        create(model, settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,  # it has query strings, and so keys, in it
        server_header=False,
        ws="none",  # no route has one, and half a handshake would never be answered
        timeout_graceful_shutdown=grace,
    )
    try:
        bound = config.bind_socket()
    except SystemExit:
        raise InputError(f"{settings.host}:{settings.port} is taken; give another --port") from None
    log.info("%s, state in %s", model.loaded.config.name, settings.state)
    why_not = sandbox.why_not()
    log.info("codeExecution: %s", f"off, {why_not}" if why_not else "in a sandbox")
    Server(config).run([bound])
