"""The API as a page: one file, no scripts, nothing from elsewhere."""

from __future__ import annotations

from html import escape
from typing import Any

#: a policy without inline styles wants a file of its own
STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 0.25rem; }
code, pre { font: 0.9em/1.4 ui-monospace, monospace; }
pre { overflow-x: auto; padding: 0.75rem; border: 1px solid #8886; border-radius: 0.4rem; }
.method { display: inline-block; min-width: 3.2rem; font-weight: 700; color: #2b6cb0; }
table { border-collapse: collapse; width: 100%; font-size: 0.95em; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 0.75rem 0.3rem 0; }
tr { border-top: 1px solid #8883; }
th { font-weight: 600; }
.kind { opacity: 0.75; }
@media (prefers-color-scheme: dark) { .method { color: #90cdf4; } a { color: #90cdf4; } }
"""

#: requests to copy, by path; ``{url}`` is the server's address
_EXAMPLES = {
    "/v1/tag": 'curl -F image=@photo.jpg -F top_k=5 "{url}/v1/tag"\n'
    'curl -F image=@photo.jpg -F "tags=red panda" -F tags=forklift -F extend=true {url}/v1/tag',
    "/v1/tag/batch": "curl -F images=@a.jpg -F images=@b.jpg {url}/v1/tag/batch",
    "/v1/explain": "curl -F image=@photo.jpg -F tag=dog {url}/v1/explain\n"
    "curl -F image=@photo.jpg -F tag=dog -F format=png {url}/v1/explain -o dog.png",
    "/v1/caption": "curl -F image=@photo.jpg {url}/v1/caption",
    "/v1/images:annotate": "curl -H 'Content-Type: application/json' -d "
    '\'{{"requests": [{{"image": {{"content": "\'$(base64 -w0 photo.jpg)\'"}}, '
    '"features": [{{"type": "LABEL_DETECTION"}}]}}]}}\' {url}/v1/images:annotate',
    "/v1/models": "curl {url}/v1/models",
}


def docs_page(document: dict[str, Any], url: str) -> str:
    """HTML of an OpenAPI document.

    Args:
        document: the whole of it
        url: address of the server, for the examples
    """
    schemas = document["components"]["schemas"]
    parts = [
        _operation(path, method, operation, schemas, url)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    title = f"{document['info']['title']} {document['info']['version']}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}: API</title><link rel="stylesheet" href="/docs.css"></head>'
        f"<body><h1>{escape(title)}</h1><p>{escape(document['info']['description'])} "
        'Machines read <a href="/openapi.json">openapi.json</a>. '
        'Errors are <code>{"error": {"type", "message", "request_id"}}</code>.</p>'
        f"{''.join(parts)}</body></html>"
    )


def _operation(
    path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any], url: str
) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    described = content.get("application/json", {}).get("schema", {})
    fields = _fields(described, schemas) or [
        (one["name"], one["schema"], one.get("description", ""))
        for one in operation.get("parameters", [])
    ]
    good = operation["responses"].get("200", {}).get("content", {}).get("application/json", {})
    example = _EXAMPLES.get(path)
    return "".join(
        [
            f'<h2><span class="method">{method.upper()}</span> <code>{escape(path)}</code></h2>',
            f"<p>{escape(operation['summary'])}. {_code(operation.get('description', ''))}</p>",
            f"<pre>{escape(example.format(url=url))}</pre>" if example else "",
            f"<p>Body: {', '.join(f'<code>{escape(kind)}</code>' for kind in content)}.</p>"
            if content
            else "",
            _table(fields),
            _answer(good.get("schema", {}), schemas),
        ]
    )


def _fields(schema: dict[str, Any], schemas: dict[str, Any]) -> list[tuple[str, Any, str]]:
    found = _resolve(schema, schemas).get("properties", {})
    return [(name, one, one.get("description", "")) for name, one in found.items()]


def _resolve(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref", "").rpartition("/")[2]
    resolved: dict[str, Any] = schemas.get(reference, schema)
    return resolved


def _table(fields: list[tuple[str, Any, str]]) -> str:
    rows = "".join(
        f'<tr><td><code>{escape(name)}</code></td><td class="kind">{escape(_kind(schema))}</td>'
        f"<td>{_code(text)}</td></tr>"
        for name, schema, text in fields
    )
    return f"<table>{rows}</table>" if rows else ""


def _answer(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    fields = _fields(schema, schemas)
    return f"<p>Answer:</p>{_table(fields)}" if fields else ""


def _kind(schema: dict[str, Any]) -> str:
    """A type for people.

    >>> _kind({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]})
    'list of string or null'
    """
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return f"“{schema['const']}”"
    if "enum" in schema:
        return " or ".join(f"“{value}”" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(schema.get("type", ""))


def _code(text: str) -> str:
    """Escaped, with what stands in backquotes as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if at % 2 else part for at, part in enumerate(parts))
