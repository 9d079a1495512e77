"""``onescan listen``: receive webhooks on this machine and show them, for trying them out."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from gateway.exceptions import UsageError
from gateway.settings import Settings

NAME = "listen"
HELP = "receive webhooks on this machine, verify their signatures and print them, until Ctrl-C"

MAX_BYTES = 64 * 1024**2
"""A webhook with the whole result is a few hundred kB."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where to listen and how to verify."""
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=9000, help="default: %(default)s")
    parser.add_argument(
        "--secret-file",
        metavar="FILE",
        help="file with the secret (whsec_…) that verifies signatures; '-' reads standard input",
    )
    parser.add_argument("--number", type=int, default=0, help="end after so many; 0 never")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Listen; 1 when a signature was wrong."""
    return asyncio.run(_listen(args))


async def _listen(args: argparse.Namespace) -> int:
    from aiohttp import web

    from gateway.webhooks.signature import verify

    secret = _secret(args.secret_file)
    ended = asyncio.Event()
    count = wrong = 0

    async def receive(request: web.Request) -> web.Response:
        nonlocal count, wrong
        body = await request.read()
        count += 1
        known = secret is None or verify(secret, request.headers, body)
        wrong += not known
        word = "unverified" if secret is None else "verified" if known else "WRONG SIGNATURE"
        print(f"{word} {request.headers.get('webhook-id', '-')}")
        print(_pretty(body), flush=True)
        if count == args.number:
            ended.set()
        return web.Response(status=204 if known else 401)

    app = web.Application(client_max_size=MAX_BYTES)
    app.router.add_post("/{path:.*}", receive)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, args.host, args.port).start()
        except OSError as error:
            raise UsageError(
                f"Port {args.port} of {args.host} cannot be used ({os.strerror(error.errno or 0)})."
            ) from error
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        address = runner.addresses[0]
        print(f"Listening at http://{address[0]}:{address[1]}/", file=sys.stderr, flush=True)
        await ended.wait()
    finally:
        await runner.cleanup()
    return int(wrong > 0)


def _secret(name: str | None) -> bytes | None:
    from gateway.webhooks.signature import read_secret

    if name is None:
        return None
    try:
        text = sys.stdin.readline() if name == "-" else Path(name).read_text(encoding="ascii")
        return read_secret(text.strip())
    except (OSError, ValueError) as error:
        raise UsageError(f"{name} holds no secret (whsec_…): {error}") from None


def _pretty(body: bytes) -> str:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body.decode("utf-8", "replace")
