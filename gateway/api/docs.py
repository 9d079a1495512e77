"""``/openapi.json``, and ``/docs``: the same as a page without a script or a foreign byte."""

from __future__ import annotations

import json
from functools import cache
from html import escape
from itertools import groupby

from aiohttp import web

from gateway import __version__
from gateway.api.openapi import document, errors_of, sentence
from gateway.api.operations import OPERATIONS, Operation, Parameter, example
from gateway.results.json import DISCLAIMER

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1c2430; background: #fff }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2.5rem }
details { border: 1px solid #d5dae1; border-radius: 4px; margin: .4rem 0; padding: .4rem .8rem }
summary { cursor: pointer } code, pre { font: 13px/1.45 ui-monospace, monospace }
pre { background: #f4f6f8; padding: .6rem; overflow-x: auto }
b { display: inline-block; width: 4em }
table { border-collapse: collapse; width: 100% }
td { border-top: 1px solid #e4e8ed; padding: .25rem .6rem .25rem 0; vertical-align: top }
"""

SECURITY = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
"""Nothing is loaded and nothing runs, whatever the page says."""

routes = web.RouteTableDef()


@routes.get("/openapi.json")
async def get_openapi(request: web.Request) -> web.Response:
    """Give the OpenAPI document."""
    return web.Response(body=_text(), content_type="application/json")


@routes.get("/docs")
async def get_docs(request: web.Request) -> web.Response:
    """Show the document as a page."""
    return web.Response(text=page(), content_type="text/html", headers=SECURITY)


@cache
def page() -> str:
    """Write the page."""
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>OneScan {__version__}</title>",
        f"<style>{STYLE}</style><h1>OneScan {__version__}</h1><p>{escape(DISCLAIMER)}</p>",
        "<p>Send the API key as <code>Authorization: Bearer KEY</code> or <code>X-API-Key</code>."
        " Errors are <code>application/problem+json</code> with a stable <code>code</code>."
        " The same for machines: <a href=/openapi.json>openapi.json</a>.</p>",
    ]
    for group, operations in groupby(OPERATIONS, key=lambda one: one.group):
        parts.append(f"<h2>{escape(group)}</h2>")
        parts += [_operation(one) for one in operations]
    parts.append("<h2>schemas</h2>")
    for name, schema in document()["components"]["schemas"].items():
        shown = escape(json.dumps(schema, indent=2, ensure_ascii=False))
        parts.append(f"<details id={name}><summary>{name}</summary><pre>{shown}</pre></details>")
    return "\n".join(parts)


@cache
def _text() -> bytes:
    return json.dumps(document(), ensure_ascii=False).encode()


def _operation(one: Operation) -> str:
    rows = [_parameter(parameter) for parameter in one.parameters]
    if one.body:
        shown = escape(json.dumps(example(one)))
        rows.append(("body", f"<a href=#{one.body}>{one.body}</a><br><code>{shown}</code>"))
    for status, answer in one.answers.items():
        kind = f"<a href=#{answer.schema}>{answer.schema}</a>" if answer.schema else answer.media
        rows.append((str(status), f"{escape(answer.says)} {kind}"))
    for status, kinds in sorted(errors_of(one).items()):
        if status not in one.answers:
            rows.append((str(status), "<br>".join(escape(sentence(kind)) for kind in kinds)))
    table = "".join(f"<tr><td><code>{name}</code><td>{says}" for name, says in rows)
    return (
        f"<details id={one.name}><summary><b>{one.method}</b><code>{escape(one.path)}</code>"
        f" {escape(one.says)}</summary><table>{table}</table></details>"
    )


def _parameter(one: Parameter) -> tuple[str, str]:
    items = one.schema.get("items", one.schema)
    kind = ", ".join(map(str, items["enum"])) if "enum" in items else items.get("format", "")
    said = " ".join(part for part in (f"in {one.where};", kind, one.says) if part)
    return escape(one.name), escape(said.rstrip("; "))
