"""`cohort openapi`: the description of the HTTP interface."""

import json

import typer


def openapi() -> None:
    """Print the OpenAPI document of the service, as JSON.

    It is what a running service gives at /openapi.json; no service needs to run.

    Examples:
    * `cohort openapi > openapi.json`
    """
    from app.main import openapi_document

    typer.echo(json.dumps(openapi_document(), indent=2, ensure_ascii=False))
