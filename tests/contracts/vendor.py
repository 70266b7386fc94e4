"""Compares our contract with the vendor's own document, OpenAPI 3.0, 3.1 or Swagger 2.

What we send must be something the vendor accepts, and what we rely on in an answer something the vendor promises. A
difference is one line of text; those for which the vendor's document is to blame stand in
``<contract>.overlay.yaml`` with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.contracts.checker import Contract

Schema = Mapping[str, Any]
_JSON = "application/json"


class Document:
    """A document with references within itself."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document

    def follow(self, value: Schema) -> Schema:
        """What a ``$ref`` stands for."""
        while "$ref" in value:
            here: Any = self.document
            for part in value["$ref"].removeprefix("#/").split("/"):
                here = here[part.replace("~1", "/").replace("~0", "~")]
            value = here
        return value

    def shapes(self, schema: Schema) -> list[Schema]:
        """The schema itself and all that ``allOf``, ``anyOf`` and ``oneOf`` add to it."""
        schema = self.follow(schema)
        found = [schema]
        for word in ("allOf", "anyOf", "oneOf"):
            for part in schema.get(word, ()):
                found += self.shapes(part)
        return found

    def types(self, schema: Schema) -> set[str]:
        """The JSON types that a value may have; empty for any."""
        found: set[str] = set()
        for shape in self.shapes(schema):
            kind = shape.get("type", [])
            found |= {kind} if isinstance(kind, str) else set(kind)
            values = [*shape.get("enum", ()), *([shape["const"]] if "const" in shape else ())]
            found |= {_type_of(value) for value in values}
            found |= {"null"} if shape.get("nullable") or shape.get("x-nullable") else set()
        return found

    def values(self, schema: Schema) -> set[object] | None:
        """The values of an enumeration; None for any."""
        found = [
            set(shape["enum"]) if "enum" in shape else {shape["const"]}
            for shape in self.shapes(schema)
            if "enum" in shape or "const" in shape
        ]
        return set().union(*found) if found else None

    def properties(self, schema: Schema) -> dict[str, Schema]:
        """All fields of an object; one that several alternatives describe may be any of them."""
        found: dict[str, list[Schema]] = {}
        for shape in self.shapes(schema):
            for name, field in shape.get("properties", {}).items():
                found.setdefault(name, []).append(field)
        return {name: fields[0] if len(fields) == 1 else {"anyOf": fields} for name, fields in found.items()}

    def required(self, schema: Schema) -> set[str]:
        """The fields that are always there."""
        schema = self.follow(schema)
        found = set(schema.get("required", ()))
        for part in schema.get("allOf", ()):
            found |= self.required(part)
        for word in ("anyOf", "oneOf"):
            if parts := schema.get(word):
                found |= set.intersection(*map(self.required, parts))
        return found

    def items(self, schema: Schema) -> Schema | None:
        """What an array holds."""
        return next((shape["items"] for shape in self.shapes(schema) if "items" in shape), None)

    def limit(self, schema: Schema, word: str) -> float | None:
        """A limit such as ``maxLength``."""
        return next((shape[word] for shape in self.shapes(schema) if word in shape), None)

    def body(self, operation: Schema) -> Schema | None:
        """The schema of a JSON request."""
        if "requestBody" in operation:
            content = self.follow(operation["requestBody"]).get("content", {})
            return content.get(_JSON, {}).get("schema") if content else None
        for parameter in map(self.follow, operation.get("parameters", ())):
            if parameter.get("in") == "body":  # Swagger 2
                schema: Schema | None = parameter.get("schema")
                return schema
        return None

    def answer(self, response: Schema) -> Schema | None:
        """The schema of a JSON answer."""
        response = self.follow(response)
        schema: Schema | None = response.get("content", {}).get(_JSON, {}).get("schema") or response.get("schema")
        return schema


def _type_of(value: object) -> str:
    names = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string"}
    return names[type(value)]


def differences(contract: Contract, vendor: Mapping[str, Any]) -> Iterator[str]:
    """Where our contract and the vendor's document disagree. Operations marked ``x-undocumented`` are left out."""
    ours, theirs = Document(contract.document), Document(vendor)
    for operation in contract.operations.values():
        mine = operation.description
        if "x-undocumented" in mine:
            continue
        item = vendor["paths"].get(operation.path, {})
        other = item.get(operation.method.lower())
        if other is None:
            yield f"{operation.id}: the vendor has no {operation.method} {operation.path}"
            continue
        if other.get("operationId") != operation.id:
            yield f"{operation.id}: the vendor calls it {other.get('operationId')}"
        yield from _parameters(operation.id, ours, mine, theirs, {**item, **other})
        yield from _bodies(operation.id, ours, mine, theirs, other)
        yield from _answers(operation.id, ours, mine, theirs, other)


def _parameters(where: str, ours: Document, mine: Schema, theirs: Document, other: Schema) -> Iterator[str]:
    known = {(p["name"], p["in"]): p for p in map(theirs.follow, other.get("parameters", ())) if "name" in p}
    given = {(p["name"], p["in"]): p for p in map(ours.follow, mine.get("parameters", ()))}
    for key, parameter in given.items():
        if key not in known:
            yield f"{where}: the vendor has no {key[1]} parameter {key[0]}"
        else:
            plain = {word: value for word, value in known[key].items() if word != "required"}  # Swagger 2
            schema = known[key].get("schema", plain)
            yield from _narrower(f"{where}: parameter {key[0]}", ours, parameter["schema"], theirs, schema)
    for key, parameter in known.items():
        if parameter.get("required") and key[1] in ("query", "path") and key not in given:
            yield f"{where}: the vendor requires the {key[1]} parameter {key[0]}"


def _bodies(where: str, ours: Document, mine: Schema, theirs: Document, other: Schema) -> Iterator[str]:
    sent, accepted = ours.body(mine), theirs.body(other)
    if sent is not None and accepted is None:
        yield f"{where}: the vendor takes no JSON body"
    elif sent is None and accepted is not None and theirs.required(accepted):
        yield f"{where}: the vendor wants a JSON body"
    elif sent is not None and accepted is not None:
        yield from _narrower(f"{where}: body", ours, sent, theirs, accepted)


def _narrower(where: str, ours: Document, mine: Schema, theirs: Document, other: Schema) -> Iterator[str]:
    """Whatever ours allows must be allowed by theirs."""
    yield from _same_types(where, ours, mine, theirs, other)
    yield from _same_values(where, ours, mine, theirs, other)
    for word in ("maxLength", "maxItems", "maximum"):
        bound, own = theirs.limit(other, word), ours.limit(mine, word)
        if bound is not None and (own is None or own > bound):
            yield f"{where}: {word} is {own}, the vendor's {bound}"
    known, fields = theirs.properties(other), ours.properties(mine)
    for name, field in fields.items():
        if name in known:
            yield from _narrower(f"{where}.{name}", ours, field, theirs, known[name])
        else:
            yield f"{where}.{name}: the vendor does not know it"
    for name in sorted(theirs.required(other) - ours.required(mine)):
        yield f"{where}.{name}: the vendor requires it"
    items, other_items = ours.items(mine), theirs.items(other)
    if items is not None and other_items is not None:
        yield from _narrower(f"{where}[]", ours, items, theirs, other_items)


def _answers(where: str, ours: Document, mine: Schema, theirs: Document, other: Schema) -> Iterator[str]:
    for status, response in mine["responses"].items():
        if status not in other["responses"]:
            yield f"{where}: {status}: the vendor declares no such status"
            continue
        expected, promised = ours.answer(ours.follow(response)), theirs.answer(other["responses"][status])
        if expected is not None and promised is not None:
            yield from _promised(f"{where}: {status}", ours, expected, theirs, promised)
        elif expected is not None:
            yield f"{where}: {status}: the vendor promises no JSON"
    for status in other["responses"]:
        if status[0] == "2" and status not in mine["responses"]:
            yield f"{where}: {status}: ours lacks it"


def _promised(where: str, ours: Document, mine: Schema, theirs: Document, other: Schema) -> Iterator[str]:
    """Whatever ours relies on must be promised by theirs."""
    yield from _same_types(where, ours, mine, theirs, other)
    yield from _same_values(where, ours, mine, theirs, other)
    if theirs.types(other) - ours.types(mine) >= {"null"} and ours.types(mine):
        yield f"{where}: the vendor may answer null"
    known, fields = theirs.properties(other), ours.properties(mine)
    for name, field in fields.items():
        if name in known:
            yield from _promised(f"{where}.{name}", ours, field, theirs, known[name])
        elif known:
            yield f"{where}.{name}: the vendor does not know it"
    for name in sorted(ours.required(mine) - theirs.required(other)):
        if name in known:
            yield f"{where}.{name}: the vendor does not promise it"
    items, other_items = ours.items(mine), theirs.items(other)
    if items is not None and other_items is not None:
        yield from _promised(f"{where}[]", ours, items, theirs, other_items)


def _same_types(where: str, ours: Document, mine: Schema, theirs: Document, other: Schema) -> Iterator[str]:
    types, known = ours.types(mine), theirs.types(other)
    if "number" in known:
        known = known | {"integer"}
    if types and known and not types <= known:
        yield f"{where}: ours is {'/'.join(sorted(types))}, the vendor's {'/'.join(sorted(known))}"


def _same_values(where: str, ours: Document, mine: Schema, theirs: Document, other: Schema) -> Iterator[str]:
    values, known = ours.values(mine), theirs.values(other)
    if values is not None and known is not None and not values - {None} <= known:
        yield f"{where}: the vendor does not know {sorted(map(str, values - known - {None}))}"
