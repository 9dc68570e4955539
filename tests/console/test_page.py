from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
from fastapi import FastAPI

from gateway.console.app import answer_problem
from gateway.console.page import add_page
from gateway.console.problems import Problem


def test_the_page_and_its_files(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html>")
    (tmp_path / "agent.js").write_text("'use strict'")
    (tmp_path / "folder").mkdir()
    app = FastAPI(redirect_slashes=False)
    app.add_exception_handler(Problem, answer_problem)
    add_page(app, tmp_path)

    async def fetch(*paths: str) -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
            return [await http.get(path) for path in paths]

    index, script, *others = asyncio.run(
        fetch(
            "/agent", "/agent/agent.js", "/agent/", "/agent/folder", "/agent/..%2Fsecret", "/agent/none.css"
        )
    )
    assert (index.status_code, index.text) == (200, "<!doctype html>")
    assert index.headers["content-type"].startswith("text/html")
    assert script.headers["content-type"].startswith("text/javascript")
    for answer in (index, script):
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "script-src 'self'" in policy
    assert [answer.status_code for answer in others] == [404] * 4
