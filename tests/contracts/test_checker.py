"""The checker finds each kind of breach, in requests and in answers."""

from __future__ import annotations

import json

import pytest
import yaml  # type: ignore[import-untyped]

from tests.contracts.checker import FOLDER, Checker, Contract, load_contract

TEXT = """
info: {title: sample}
x-credentials: {header: Authorization, pattern: 'Bearer \\S+'}
x-headers: {User-Agent: .+}
x-always:
  "429": {$ref: "#/components/responses/Slower"}
paths:
  /things/{id}:
    post:
      operationId: things/change
      parameters:
        - {name: id, in: path, required: true, schema: {type: integer}}
        - {name: page, in: query, schema: {type: integer, minimum: 1}}
      requestBody:
        content:
          application/json:
            schema:
              type: object
              required: [body]
              properties:
                body: {type: string, maxLength: 5}
                inner: {type: object, properties: {deep: {type: integer}}}
      responses:
        "200": {content: {application/json: {schema: {$ref: "#/components/schemas/Thing"}}}}
        "302": {x-headers: [Location]}
        "204": {description: Gone.}
  /things/mine:
    get:
      operationId: things/mine
      parameters: [{name: must, in: query, required: true, schema: {enum: [a, b]}}]
      responses: {"200": {content: {application/json: {}}}}
  /blobs/{path+}:
    x-origin: blobs
    x-credentials: none
    get:
      operationId: blobs/get
      responses: {"200": {content: {application/zip: {}}}}
components:
  responses:
    Slower:
      content:
        application/json: {schema: {type: object, required: [message], properties: {message: {type: string}}}}
  schemas:
    Thing: {type: object, required: [id], properties: {id: {type: integer}}}
"""
HEADERS = {"authorization": "Bearer fake", "user-agent": "test", "content-type": "application/json"}
GOOD = b'{"body": "text"}'


@pytest.fixture
def checker() -> Checker:
    return Checker(Contract(yaml.safe_load(TEXT)))


def test_traffic_within_the_contract_is_no_violation(checker: Checker) -> None:
    operation = checker.request("POST", "/things/7?page=2", HEADERS, b'{"body": "text", "inner": {"deep": 1}}')
    assert operation is not None
    checker.response(operation, 200, {"content-type": "application/json; charset=utf-8"}, b'{"id": 7}')
    checker.response(operation, 429, {"content-type": "application/json"}, b'{"message": "slower"}')
    checker.response(operation, 302, {"location": "http://elsewhere"}, b"")
    checker.response(operation, 204, {}, b"")
    assert checker.violations == []
    assert checker.reached == {"things/change"}


REQUESTS = {
    "unknown path": (("GET", "/nothing", HEADERS, b""), "no such operation"),
    "unknown method": (("DELETE", "/things/7", HEADERS, b""), "no such operation"),
    "path of another origin": (("GET", "/blobs/a", HEADERS, b""), "no such operation"),
    "unknown query": (("POST", "/things/7?pages=2", HEADERS, GOOD), "unknown query parameter pages"),
    "query twice": (("POST", "/things/7?page=2&page=3", HEADERS, GOOD), "page twice"),
    "query out of range": (("POST", "/things/7?page=0", HEADERS, GOOD), "parameter page"),
    "query of the wrong type": (("POST", "/things/7?page=two", HEADERS, GOOD), "parameter page"),
    "query missing": (("GET", "/things/mine", HEADERS, b""), "no query parameter must"),
    "query outside of its values": (("GET", "/things/mine?must=c", HEADERS, b""), "parameter must"),
    "path of the wrong type": (("POST", "/things/seven", HEADERS, GOOD), "parameter id"),
    "body missing": (("POST", "/things/7", HEADERS, b""), "no JSON"),
    "body where none is wanted": (("GET", "/things/mine?must=a", HEADERS, GOOD), "a body where none is wanted"),
    "body field missing": (("POST", "/things/7", HEADERS, b"{}"), "'body' is a required property"),
    "body field misspelt": (("POST", "/things/7", HEADERS, b'{"body": "", "inne": {}}'), "'inne' was unexpected"),
    "deep field misspelt": (("POST", "/things/7", HEADERS, b'{"body": "", "inner": {"d": 1}}'), "'d' was unexpected"),
    "body too long": (("POST", "/things/7", HEADERS, b'{"body": "longer"}'), "is too long"),
    "body of another type": (
        ("POST", "/things/7", {**HEADERS, "content-type": "text/plain"}, GOOD),
        "content type 'text/plain'",
    ),
    "no credentials": (("POST", "/things/7", {**HEADERS, "authorization": ""}, GOOD), "the wrong form"),
    "no credentials at all": (
        ("POST", "/things/7", {key: value for key, value in HEADERS.items() if key != "authorization"}, GOOD),
        "no Authorization",
    ),
    "no required header": (("POST", "/things/7", {**HEADERS, "user-agent": ""}, GOOD), "header User-Agent"),
}


@pytest.mark.parametrize("what", REQUESTS)
def test_a_request_outside_of_the_contract_is_found(checker: Checker, what: str) -> None:
    (method, target, headers, body), expected = REQUESTS[what]
    checker.request(method, target, headers, body)
    assert len(checker.violations) == 1
    assert expected in checker.violations[0]


def test_credentials_at_an_anonymous_origin_are_found() -> None:
    checker = Checker(Contract(yaml.safe_load(TEXT)), "blobs")
    checker.request("GET", "/blobs/a/b/c", {}, b"")
    assert checker.violations == []
    checker.request("GET", "/blobs/a/b/c", HEADERS, b"")
    assert "origin that must not see it" in checker.violations[0]


ANSWERS = {
    "status": ((500, {"content-type": "application/json"}, b"{}"), "declares no such status"),
    "content type": ((200, {"content-type": "text/html"}, b"{}"), "content type 'text/html'"),
    "no JSON": ((200, {"content-type": "application/json"}, b"{"), "no JSON"),
    "field missing": ((200, {"content-type": "application/json"}, b"{}"), "'id' is a required property"),
    "field invented": ((200, {"content-type": "application/json"}, b'{"id": 1, "x": 2}'), "'x' was unexpected"),
    "always": ((429, {"content-type": "application/json"}, b"{}"), "'message' is a required property"),
    "header missing": ((302, {}, b""), "no header Location"),
    "body where none is declared": ((204, {}, b"x"), "declares no body"),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_an_answer_outside_of_the_contract_is_found(checker: Checker, what: str) -> None:
    (status, headers, body), expected = ANSWERS[what]
    checker.response(checker.contract.operations["things/change"], status, headers, body)
    assert len(checker.violations) == 1
    assert expected in checker.violations[0]


def test_a_literal_path_wins_over_one_with_a_parameter(checker: Checker) -> None:
    operation = checker.request("GET", "/things/mine?must=a", HEADERS, b"")
    assert operation is not None
    assert operation.id == "things/mine"


def test_a_prefix_of_the_api_is_not_part_of_its_paths() -> None:
    checker = Checker(Contract(yaml.safe_load(TEXT)), prefixes=("/api/v3", "/api"))
    checker.request("POST", "/api/v3/things/7", HEADERS, GOOD)
    checker.request("POST", "/api/things/7", HEADERS, GOOD)
    assert checker.violations == []


def test_a_schema_that_allows_further_fields_says_so() -> None:
    document = yaml.safe_load(TEXT)
    document["components"]["schemas"]["Thing"]["additionalProperties"] = True
    checker = Checker(Contract(document))
    checker.response(
        checker.contract.operations["things/change"], 200, {"content-type": "application/json"}, b'{"id": 1, "x": 2}'
    )
    assert checker.violations == []


@pytest.mark.parametrize(
    ("field", "limit"),
    [("summary", 65_535), ("text", 65_535), ("annotations", 50)],
)
def test_the_limits_of_a_check_run_are_in_the_contract(field: str, limit: int) -> None:
    annotation = {"path": "a.py", "start_line": 1, "end_line": 1, "annotation_level": "failure", "message": "m"}
    for size, violations in ((limit, 0), (limit + 1, 1)):
        checker = Checker(load_contract("github"))
        value: object = [annotation] * size if field == "annotations" else "x" * size
        output = {"title": "t", "summary": "s", field: value}
        body = json.dumps({"name": "tests", "head_sha": "b" * 40, "output": output}).encode()
        headers = {**HEADERS, "accept": "application/json"}
        checker.request("POST", "/repos/acme/shop/check-runs", headers, body)
        assert len(checker.violations) == violations


@pytest.mark.parametrize(
    ("method", "path", "field", "limit"),
    [
        ("POST", "/repos/acme/shop/issues/42/comments", "body", 65_536),
        ("PATCH", "/repos/acme/shop/issues/comments/42", "body", 65_536),
        ("POST", f"/repos/acme/shop/statuses/{'b' * 40}", "description", 140),
    ],
)
def test_limits_that_the_vendor_does_not_write_down_are_in_the_contract(
    method: str, path: str, field: str, limit: int
) -> None:
    for size, violations in ((limit, 0), (limit + 1, 1)):
        checker = Checker(load_contract("github"))
        body = {field: "x" * size} | ({"state": "success"} if field == "description" else {})
        checker.request(method, path, {**HEADERS, "accept": "application/json"}, json.dumps(body).encode())
        assert len(checker.violations) == violations


def test_a_completed_check_run_needs_a_conclusion() -> None:
    checker = Checker(load_contract("github"))
    body = json.dumps({"status": "completed"}).encode()
    checker.request("PATCH", "/repos/acme/shop/check-runs/7", {**HEADERS, "accept": "*/*"}, body)
    assert "'conclusion' is a required property" in checker.violations[0]


def test_every_contract_beside_the_checker_loads() -> None:
    names = [path.stem for path in FOLDER.glob("*.yaml") if not path.stem.endswith(".overlay")]
    assert {"github", "github-results"} <= set(names)
    for name in names:
        assert load_contract(name).operations
