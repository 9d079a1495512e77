"""DICOMweb: the Studies Service's search transaction (QIDO-RS), PS3.18 10.6."""

from __future__ import annotations

import json

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.api.keys import DATABASE, PRINCIPAL, SETTINGS
from gateway.api.media import need_json
from gateway.api.service_url import ROOT, service_url
from gateway.intake.dicom_json import JSON
from gateway.intake.qido import INSTANCE_FIELDS, read_search, results
from gateway.store.matching import Level
from gateway.store.query import Query, find

RESOURCES = {
    "/studies": Level.STUDY,
    "/series": Level.SERIES,
    "/instances": Level.IMAGE,
    "/studies/{study}/series": Level.SERIES,
    "/studies/{study}/instances": Level.IMAGE,
    "/studies/{study}/series/{series}/instances": Level.IMAGE,
}
"""What is searched, and for what."""

FUZZY = "The fuzzymatching parameter is not supported. Only literal matching has been performed."
MORE = "There are additional results that can be requested."


def _searching(level: Level) -> Handler:
    async def search(request: web.Request) -> web.Response:
        """Find studies, series or instances."""
        need_json(request)
        path = {"StudyInstanceUID": "study", "SeriesInstanceUID": "series"}
        above = {
            keyword: request.match_info[name]
            for keyword, name in path.items()
            if name in request.match_info
        }
        asked = read_search(request.query.items(), above=above)
        most = request.app[SETTINGS].api.max_search_results
        limit = most if asked.limit is None else min(asked.limit, most)
        query = Query(
            level=level,
            keys=asked.keys,
            limit=limit + 1,  # one more tells whether there are more
            offset=asked.offset,
            fields=None if asked.every_field else asked.fields | INSTANCE_FIELDS,
        )
        async with request.app[DATABASE].connection() as connection:
            matches = await find(connection, request[PRINCIPAL].tenant, query)
        url = service_url(request)
        found = results(matches[:limit], level, asked, service_url=url, above=above)
        cut = len(matches) > limit and asked.limit != limit
        response = (
            web.Response(body=json.dumps(found).encode(), content_type=JSON)
            if found
            else web.Response(status=204)
        )
        for said, text in ((asked.fuzzy, FUZZY), (cut, MORE)):
            if said:
                response.headers.add("Warning", f'299 {url} "{text}"')
        return response

    return search


routes = [web.get(f"{ROOT}{path}", _searching(level)) for path, level in RESOURCES.items()]
