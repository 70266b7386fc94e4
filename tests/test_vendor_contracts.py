"""Our contracts against the vendors' own documents, where ``VENDOR_SPECS`` names a folder that holds these.

They are not part of the project, being the vendors' own. A relative folder is meant from the root of the checkout.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.contracts.checker import FOLDER, Contract, load_contract
from tests.contracts.vendor import differences

SPECS = os.environ.get("VENDOR_SPECS", "")  # read here: each test starts from a clean environment
CONTRACTS = sorted(path.stem for path in FOLDER.glob("*.yaml") if not path.stem.endswith(".overlay"))
WITH_VENDOR = [name for name in CONTRACTS if "x-vendor" in load_contract(name).document]


@pytest.mark.skipif(not SPECS, reason="VENDOR_SPECS names no folder with the vendors' documents")
@pytest.mark.parametrize("name", WITH_VENDOR)
def test_the_contract_differs_from_the_vendors_document_only_where_the_overlay_says_why(name: str) -> None:
    contract = load_contract(name)
    path = Path(__file__).parent.parent / SPECS / contract.document["x-vendor"]
    overlay = yaml.safe_load((FOLDER / f"{name}.overlay.yaml").read_text(encoding="utf-8"))
    assert all(reason.strip() for reason in overlay.values())
    assert sorted(differences(contract, json.loads(path.read_text(encoding="utf-8")))) == sorted(overlay)


OURS: Mapping[str, Any] = {
    "info": {"title": "ours"},
    "x-credentials": {"header": "Authorization", "pattern": ".+"},
    "paths": {
        "/things/{id}": {
            "post": {
                "operationId": "things/make",
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}},
                    {"name": "page", "in": "query", "schema": {"type": "integer"}},
                ],
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "required": ["state"],
                                "properties": {
                                    "state": {"enum": ["good"]},
                                    "text": {"type": "string", "maxLength": 10},
                                    "many": {"type": "array", "maxItems": 5, "items": {"type": "string"}},
                                },
                            }
                        }
                    }
                },
                "responses": {
                    "201": {
                        "content": {
                            "application/json": {
                                "schema": {
                                    "type": "object",
                                    "required": ["id"],
                                    "properties": {"id": {"type": "integer"}, "by": {"type": ["string", "null"]}},
                                }
                            }
                        }
                    }
                },
            }
        }
    },
}
Document = dict[str, Any]


def vendors() -> Document:
    """A vendor's document that agrees with ours."""
    schema = {
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "integer"}, "by": {"type": "string", "nullable": True}},
    }
    document: Document = json.loads(json.dumps({"paths": OURS["paths"]}))
    post = document["paths"]["/things/{id}"]["post"]
    post["responses"]["201"]["content"]["application/json"]["schema"] = {"$ref": "#/components/schemas/thing"}
    document["components"] = {"schemas": {"thing": schema}}
    return document


def _post(document: Document) -> Document:
    post: Document = document["paths"]["/things/{id}"]["post"]
    return post


def _body(document: Document) -> Document:
    body: Document = _post(document)["requestBody"]["content"]["application/json"]["schema"]
    return body


def _thing(document: Document) -> Document:
    thing: Document = document["components"]["schemas"]["thing"]
    return thing


CHANGES: Mapping[str, tuple[Callable[[Document], object], str]] = {
    "path": (lambda d: d["paths"].clear(), "the vendor has no POST /things/{id}"),
    "name": (lambda d: _post(d).update(operationId="x"), "the vendor calls it x"),
    "parameter": (lambda d: _post(d)["parameters"].pop(), "the vendor has no query parameter page"),
    "parameter type": (
        lambda d: _post(d)["parameters"][1].update(schema={"type": "string"}),
        "parameter page: ours is integer, the vendor's string",
    ),
    "required parameter": (
        lambda d: _post(d)["parameters"].append({"name": "v", "in": "query", "required": True, "schema": {}}),
        "the vendor requires the query parameter v",
    ),
    "field": (lambda d: _body(d)["properties"].pop("text"), "body.text: the vendor does not know it"),
    "required field": (lambda d: _body(d)["required"].append("text"), "body.text: the vendor requires it"),
    "value": (
        lambda d: _body(d)["properties"]["state"].update(enum=["bad"]),
        "body.state: the vendor does not know ['good']",
    ),
    "length": (
        lambda d: _body(d)["properties"]["text"].update(maxLength=9),
        "body.text: maxLength is 10, the vendor's 9",
    ),
    "items": (
        lambda d: _body(d)["properties"]["many"].update(items={"type": "integer"}),
        "body.many[]: ours is string, the vendor's integer",
    ),
    "number of items": (
        lambda d: _body(d)["properties"]["many"].update(maxItems=4),
        "body.many: maxItems is 5, the vendor's 4",
    ),
    "no body": (lambda d: _post(d).pop("requestBody"), "the vendor takes no JSON body"),
    "status": (lambda d: _post(d).update(responses={}), "201: the vendor declares no such status"),
    "second status": (
        lambda d: _post(d)["responses"].update({"202": {"description": "Later."}}),
        "202: ours lacks it",
    ),
    "answered field": (lambda d: _thing(d)["properties"].pop("by"), "201.by: the vendor does not know it"),
    "promise": (lambda d: _thing(d).pop("required"), "201.id: the vendor does not promise it"),
    "answered type": (
        lambda d: _thing(d)["properties"]["id"].update(type="string"),
        "201.id: ours is integer, the vendor's string",
    ),
    "null": (lambda d: _thing(d)["properties"]["id"].update(nullable=True), "201.id: the vendor may answer null"),
}


def test_two_documents_that_agree_differ_in_nothing() -> None:
    assert list(differences(Contract(copy.deepcopy(OURS)), vendors())) == []


@pytest.mark.parametrize("what", CHANGES)
def test_a_difference_is_found(what: str) -> None:
    change, expected = CHANGES[what]
    document = vendors()
    change(document)
    assert list(differences(Contract(copy.deepcopy(OURS)), document)) == [f"things/make: {expected}"]


def test_a_field_of_one_of_several_alternatives_is_known_and_promised_only_by_all() -> None:
    document = vendors()
    thing = _thing(document)
    document["components"]["schemas"]["thing"] = {"oneOf": [thing, {**thing, "required": []}]}
    assert list(differences(Contract(copy.deepcopy(OURS)), document)) == [
        "things/make: 201.id: the vendor does not promise it"
    ]


def test_the_older_notation_is_read_too() -> None:
    document = vendors()
    post = _post(document)
    post["parameters"].append({"name": "body", "in": "body", "required": True, "schema": _body(document)})
    del post["requestBody"]
    post["parameters"][0] = {"name": "id", "in": "path", "required": True, "type": "integer"}
    post["responses"]["201"] = {"schema": _thing(document)}
    assert list(differences(Contract(copy.deepcopy(OURS)), document)) == []


@pytest.mark.parametrize("name", WITH_VENDOR)
def test_every_contract_with_a_vendors_document_has_an_overlay_of_known_operations(name: str) -> None:
    overlay = yaml.safe_load((FOLDER / f"{name}.overlay.yaml").read_text(encoding="utf-8"))
    assert {line.partition(":")[0] for line in overlay} <= set(load_contract(name).operations)
