"""The documentation pages, whose scripts run from here and nowhere else."""

import base64
import hashlib
import re

from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.responses import HTMLResponse

from app.edge.authentication import DOCS_ASSETS

_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def add_docs(app: FastAPI) -> None:
    """Serve `/docs` and `/redoc`, made once: nothing of a request goes into them."""
    favicon = f"{DOCS_ASSETS}/favicon.png"
    openapi = str(app.openapi_url)
    docs = _guarded(
        get_swagger_ui_html(
            openapi_url=openapi,
            title=app.title,
            swagger_js_url=f"{DOCS_ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{DOCS_ASSETS}/swagger-ui.css",
            swagger_favicon_url=favicon,
        )
    )
    redoc = _guarded(
        get_redoc_html(
            openapi_url=openapi,
            title=app.title,
            redoc_js_url=f"{DOCS_ASSETS}/redoc.standalone.js",
            with_google_fonts=False,
            redoc_favicon_url=favicon,
        )
    )

    @app.get("/docs", include_in_schema=False)
    async def show_docs() -> HTMLResponse:
        return docs

    @app.get("/redoc", include_in_schema=False)
    async def show_redoc() -> HTMLResponse:
        return redoc


def _guarded(page: HTMLResponse) -> HTMLResponse:
    """Allow the page's own scripts and no others, by what they say."""
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"
        for script in _INLINE_SCRIPT.findall(bytes(page.body))
    ]
    page.headers["Content-Security-Policy"] = "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {' '.join(hashes)}".rstrip(),
            # Both pages write their styles themselves; redoc searches in a worker of its own.
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "worker-src blob:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
    return page
