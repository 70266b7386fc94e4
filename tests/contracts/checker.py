"""Holds every request and every response against a contract: a small OpenAPI document in our own words.

A contract is YAML with ``paths`` and ``components`` as in OpenAPI 3.1, whose schemas are JSON Schema 2020-12, and with

* ``x-credentials``: the header that carries the credentials and the pattern of its value. A path item with
  ``x-credentials: none`` must be called without;
* ``x-origin`` of a path item: which of the platform's servers has it (``api`` if absent);
* ``x-headers``: headers that every request must carry, with a pattern each;
* ``x-always``: answers that any operation may give, beside its own.

An object schema that lists ``properties`` allows no others unless it says so, in requests as in responses: a misspelt
field of a request is a violation, and a fake cannot invent what the platform does not send.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import yaml  # type: ignore[import-untyped]
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

FOLDER = Path(__file__).parent
METHODS = ("get", "post", "put", "patch", "delete")
_BASE = "contract:"


@dataclass(frozen=True)
class Operation:
    """One method of one path, with what the path item says of it."""

    id: str
    method: str
    path: str
    origin: str
    pattern: re.Pattern[str]
    description: Mapping[str, Any]
    pointer: str
    anonymous: bool


def escaped(part: str) -> str:
    """One part of a JSON pointer within a URI."""
    return part.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D")


def without_prefix(path: str, prefixes: Sequence[str]) -> str:
    """A path without the first of these that it begins with."""
    return path.removeprefix(next((prefix for prefix in prefixes if path.startswith(f"{prefix}/")), ""))


class Contract:
    """One contract, read once."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        _close(document)
        self.document = document
        self.name = str(document["info"]["title"])
        self.credentials: Mapping[str, str] = document["x-credentials"]
        self.headers: Mapping[str, str] = document.get("x-headers", {})
        self.operations = {operation.id: operation for operation in self._operations()}
        resource = Resource.from_contents(document, default_specification=DRAFT202012)
        self._registry: Registry[Any] = Registry().with_resource(_BASE, resource)
        self._validators: dict[str, Draft202012Validator] = {}

    def _operations(self) -> Iterator[Operation]:
        for path, item in self.document["paths"].items():
            parts = [
                "[^/]+" if part.startswith("{") and "+" not in part else ".+" if "+}" in part else re.escape(part)
                for part in re.split(r"(\{[^}]+\})", path)
            ]
            for method in METHODS:
                if method in item:
                    yield Operation(
                        item[method]["operationId"], method.upper(), path, item.get("x-origin", "api"),
                        re.compile("".join(parts)), item[method], f"{_BASE}#/paths/{escaped(path)}/{method}",
                        item.get("x-credentials") == "none",
                    )  # fmt: skip

    def find(self, origin: str, method: str, path: str) -> Operation | None:
        """The operation that this request means; a literal path wins over one with a parameter."""
        found = [
            operation
            for operation in self.operations.values()
            if operation.origin == origin and operation.method == method and operation.pattern.fullmatch(path)
        ]
        return min(found, key=lambda operation: operation.path.count("{"), default=None)

    def follow(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a ``$ref`` stands for."""
        while "$ref" in value:
            here: Any = self.document
            for part in value["$ref"].removeprefix("#/").split("/"):
                here = here[part]
            value = here
        return value

    def errors(self, pointer: str, value: object) -> list[str]:
        """What is wrong with a value by the schema at this pointer."""
        validator = self._validators.get(pointer)
        if validator is None:
            validator = self._validators[pointer] = Draft202012Validator(
                {"$ref": pointer}, registry=self._registry, format_checker=FormatChecker()
            )
        return [f"{error.json_path}: {error.message[:300]}" for error in sorted(validator.iter_errors(value), key=str)]


def _close(value: Any) -> None:
    """Forbid fields that an object schema does not list."""
    if isinstance(value, dict):
        if value.get("type") in ("object", ["object", "null"]) and "properties" in value:
            value.setdefault("additionalProperties", False)
        for item in value.values():
            _close(item)
    elif isinstance(value, list):
        for item in value:
            _close(item)


@cache
def load_contract(name: str) -> Contract:
    """The contract ``<name>.yaml`` beside this file."""
    return Contract(yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))


class Checker:
    """Checks the traffic of one origin and records what breaks the contract and which operations were reached.

    Safe to use from several threads.

    Args:
        contract: What is agreed.
        origin: Which of the platform's servers this is.
        prefixes: What may stand before the contract's paths; the first that fits is taken off.
    """

    def __init__(self, contract: Contract, origin: str = "api", prefixes: Sequence[str] = ()) -> None:
        self.contract = contract
        self.origin = origin
        self.prefixes = prefixes
        self.violations: list[str] = []
        self.reached: set[str] = set()
        self._lock = threading.Lock()

    def request(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Operation | None:
        """Check one request; answers its operation if the contract has it.

        Args:
            method: As sent.
            target: Path and query as sent.
            headers: With lower-case names.
            body: As sent.
        """
        raw, _, query = target.partition("?")
        path = without_prefix(raw, self.prefixes)
        operation = self.contract.find(self.origin, method, path)
        if operation is None:
            self._record(f"{method} {raw}", ["the contract has no such operation"])
            return None
        found = [*self._headers(operation, headers), *self._parameters(operation, path, query)]
        found += self._body(operation, headers, body)
        with self._lock:
            self.reached.add(operation.id)
        self._record(f"{method} {target}", found)
        return operation

    def response(self, operation: Operation, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Check one answer to an operation. Header names are in lower case."""
        where = f"answer to {operation.id} {status}"
        declared = {**self.contract.document.get("x-always", {}), **operation.description["responses"]}
        if str(status) not in declared:
            return self._record(where, ["the contract declares no such status"])
        answer = self.contract.follow(declared[str(status)])
        found = [f"no header {name}" for name in answer.get("x-headers", ()) if name.lower() not in headers]
        content = answer.get("content", {})
        kind = headers.get("content-type", "").partition(";")[0]
        if not content and body:
            found.append("the contract declares no body")
        elif content and kind not in content:
            found.append(f"content type {kind!r} instead of {sorted(content)}")
        elif content and "schema" in content[kind]:
            found += self._json(content[kind]["schema"], declared[str(status)], operation, status, kind, body)
        return self._record(where, found)

    def _json(
        self, schema: Mapping[str, Any], declared: Mapping[str, Any], operation: Operation, status: int,
        kind: str, body: bytes,
    ) -> list[str]:  # fmt: skip
        if "$ref" in declared:
            base = f"{_BASE}{declared['$ref']}"
        elif str(status) in operation.description["responses"]:
            base = f"{operation.pointer}/responses/{status}"
        else:
            base = f"{_BASE}#/x-always/{status}"
        try:
            value = json.loads(body)
        except ValueError as error:
            return [f"the body is no JSON: {error}"]
        return self.contract.errors(f"{base}/content/{escaped(kind)}/schema", value)

    def _headers(self, operation: Operation, headers: Mapping[str, str]) -> Iterator[str]:
        name = self.contract.credentials["header"]
        sent = headers.get(name.lower())
        if operation.anonymous:
            if sent is not None:
                yield f"{name} was sent to an origin that must not see it"
        elif sent is None:
            yield f"no {name}"
        elif not re.fullmatch(self.contract.credentials["pattern"], sent):
            yield f"{name} has the wrong form"
        if operation.anonymous:
            return
        for header, pattern in self.contract.headers.items():
            if not re.fullmatch(pattern, headers.get(header.lower(), "")):
                yield f"header {header} is {headers.get(header.lower())!r}"

    def _parameters(self, operation: Operation, path: str, query: str) -> Iterator[str]:
        given = parse_qsl(query, keep_blank_values=True)
        names = re.findall(r"\{([^}+]+)\+?\}", operation.path)
        pattern = re.escape(operation.path)
        for name in names:
            pattern = re.sub(rf"\\{{{name}(\\\+)?\\}}", lambda hit: "(.+)" if hit[1] else "([^/]+)", pattern)
        match = re.fullmatch(pattern, path)
        values = dict(zip(names, match.groups() if match else (), strict=True))
        known = set()
        for number, reference in enumerate(operation.description.get("parameters", ())):
            parameter = self.contract.follow(reference)
            pointer = (
                f"{_BASE}{reference['$ref']}/schema"
                if "$ref" in reference
                else f"{operation.pointer}/parameters/{number}/schema"
            )
            name = parameter["name"]
            if parameter["in"] == "path":
                texts = [unquote(values.get(name, ""))]
            else:
                known.add(name)
                texts = [value for key, value in given if key == name]
                if parameter.get("required") and not texts:
                    yield f"no query parameter {name}"
                if len(texts) > 1:
                    yield f"query parameter {name} twice"
            kind = parameter["schema"].get("type")
            for text in texts:
                value: object = int(text) if kind == "integer" and re.fullmatch(r"[0-9]{1,20}", text) else text
                yield from (f"parameter {name}: {error}" for error in self.contract.errors(pointer, value))
        yield from (f"unknown query parameter {key}" for key, _ in given if key not in known)

    def _body(self, operation: Operation, headers: Mapping[str, str], body: bytes) -> Iterator[str]:
        wanted = operation.description.get("requestBody")
        if wanted is None:
            if body:
                yield "a body where none is wanted"
            return
        kind = headers.get("content-type", "").partition(";")[0]
        if kind not in wanted["content"] and "*/*" not in wanted["content"]:
            yield f"content type {kind!r} instead of {sorted(wanted['content'])}"
        elif kind in wanted["content"] and "schema" in wanted["content"][kind]:
            try:
                value = json.loads(body)
            except ValueError as error:
                yield f"the body is no JSON: {error}"
                return
            yield from self.contract.errors(f"{operation.pointer}/requestBody/content/{escaped(kind)}/schema", value)

    def _record(self, where: str, found: list[str]) -> None:
        with self._lock:
            self.violations.extend(f"{self.contract.name}: {where}: {problem}" for problem in found)
