"""A radiologist: the worklist is open, a study's page is opened, slices are scrolled through.

The requests are those that a browser makes for the pages: files of style and scripts, the list
anew after each burst of events, three slices at once.
"""

from __future__ import annotations

import html
import json
import re
from typing import Any
from urllib.parse import quote

import requests
from gevent import sleep, spawn
from gevent.pool import Pool

from loadtests.arrivals import VISIT, Arrival
from loadtests.records import Page
from loadtests.users.arriving import Arriving
from loadtests.users.http import Refused, expect
from loadtests.users.run import RUN
from loadtests.users.stream import Stream

AT_ONCE = 3
"""Slices in flight, as `gateway/ui/static/slices.js` has it."""

BURST_SECONDS = 0.3
"""Events within it renew the list once, as `common.js` has it."""

SCROLLED = 12
"""Axial slices a visit, beside the three that a page begins with."""

PLANES = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}
"""Plane → axis that it is counted along, and the axes of its rows and columns."""

STATIC = re.compile(r'(?:href|src)="(/ui/static/[^"]+)"')
VIEW = re.compile(r'data-view="([^"]*)"')


class Radiologist(Arriving):
    """Opens the worklist, then a study."""

    way = VISIT

    def on_start(self) -> None:
        """Keep a worklist open that follows the events."""
        super().on_start()
        self.client.session.headers["Accept"] = "text/html"
        self._files: set[str] = set()
        self._renewing = False
        self.stream = Stream(self.client, self._changed)

    def on_stop(self) -> None:
        """Close the browser."""
        super().on_stop()
        self.stream.close()

    def begin(self, arrival: Arrival) -> None:
        """Visit; what does not answer is counted and ends the visit."""
        try:
            self._visit(arrival)
        except Refused:
            pass
        except Exception as error:
            RUN.found.errors.append(f"radiologist: {type(error).__name__}: {error}"[:200])
        finally:
            RUN.pending -= 1

    def _visit(self, arrival: Arrival) -> None:
        worklist = self._get("worklist", "/ui", arrival.at).text
        if 'id="live"' not in worklist:
            RUN.wrong("/ui has no list")
        study = RUN.random.choice(RUN.shown)
        page = self._get("study page", f"/ui/studies/{study}").text
        for path in {*STATIC.findall(worklist), *STATIC.findall(page)} - self._files:
            self._files.add(path)
            self._get("file", path)
        view = VIEW.search(page)
        if view is None:
            raise ValueError("the page of a study shows no volume")
        self._look(study, json.loads(html.unescape(view[1]))["volumes"][0])

    def _look(self, study: str, volume: dict[str, Any]) -> None:
        """Fetch the middle of each plane, then scroll."""
        shape = volume["shape"]
        series = f"{quote(volume['series_instance_uid'])}/{volume['part']}"
        places = [(plane, shape[axes[0]] // 2) for plane, axes in PLANES.items()]
        middle = shape[0] // 2
        places += [("axial", n) for n in range(middle, min(shape[0], middle + SCROLLED))]
        pool = Pool(AT_ONCE)
        fetched = [
            pool.spawn(self._slice, f"/v1/studies/{study}/volumes/{series}", plane, index, shape)
            for plane, index in places
        ]
        pool.join()
        for greenlet in fetched:
            greenlet.get()

    def _slice(self, path: str, plane: str, index: int, shape: list[int]) -> None:
        _, down, right = PLANES[plane]
        data = self._get("slice", f"{path}/{plane}/{index}").content
        if len(data) != 2 * shape[down] * shape[right]:
            RUN.wrong(f"a {plane} slice of {len(data)} bytes")

    def _get(self, name: str, path: str, due: float | None = None) -> requests.Response:
        """Fetch and time; a visit's first page from when the visit was due."""
        begun = RUN.now() if due is None else due
        with self.client.told(name):
            answer = expect(self.client.ask("GET", path), 200)
        RUN.found.pages.append(Page(name, begun, RUN.now() - begun))
        return answer

    def _changed(self) -> None:
        if not self._renewing:
            self._renewing = True
            spawn(self._renew)

    def _renew(self) -> None:
        sleep(BURST_SECONDS)
        self._renewing = False
        try:
            self._get("worklist renewed", "/ui?fragment=1")
        except Refused:
            pass
        except Exception as error:
            RUN.found.errors.append(f"worklist: {type(error).__name__}: {error}"[:200])
