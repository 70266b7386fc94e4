"""Secrets never survive, ordinary text always does (security.md row 17)."""

from __future__ import annotations

import base64
import html
import json
import re
import textwrap
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ci_bridge.masking import MASK, Masker

SECRET = "Xy7pQ2mnB4kL" + "r9Zt8WvC"
AWKWARD = "p&ss/w\"o'rd\\<µ>+ 50%=x"
BODY = "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX2yZ3"  # no real token's value


def known_tokens() -> dict[str, str]:
    """One made-up text per known format, put together here so that no scanner takes them for leaked ones."""
    return {
        "personal token": "gh" + "p_" + BODY[:36],
        "server token": "gh" + "s_" + BODY[:36],
        "fine-grained token": "git" + "hub_pat_" + BODY[:22] + "_" + BODY + BODY[:19],
        "project token": "glp" + "at-" + BODY[:20],
        "chat token": "xo" + "xb-123456789012-123456789012-" + BODY[:24],
        "cloud key": "AK" + "IA" + BODY.upper()[:16],
        "temporary cloud key": "AS" + "IA" + BODY.upper()[:16],
        "map key": "AI" + "za" + BODY[:35],
        "package token": "np" + "m_" + BODY[:36],
        "index token": "py" + "pi-AgEIcHlwaS5vcmc" + BODY,
        "web token": "ey" + "J" + BODY + ".ey" + "J" + BODY + "." + BODY,
        "payment key": "sk" + "_live_" + BODY[:24],
        "devops token": BODY + BODY[:36] + "AZ" + "DO" + "4xYz",
        "storage key": "Account" + "Key=" + base64.b64encode(BODY.encode()).decode(),
        "header": "Authori" + "zation: Bearer " + BODY,
        "basic header": '"authori' + 'zation": "Basic ' + BODY + '"',
        "project header": "PRIVATE" + "-TOKEN: " + BODY,
        "address": "https://someone:" + BODY + "@example.org/x.git",
        "address without user": "https://" + BODY + "@example.org/x.git",
        "private key": pem("RSA PRIVATE KEY"),
        "escaped private key": json.dumps(pem("PRIVATE KEY")),
        "truncated private key": pem("EC PRIVATE KEY").rsplit("\n", 1)[0],
    }


def pem(kind: str) -> str:
    body = textwrap.fill(base64.b64encode(BODY.encode() * 6).decode(), 64)
    return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----"


def spellings(secret: str) -> dict[str, str]:
    data = secret.encode()
    return {
        "plain": secret,
        "base64": base64.b64encode(data).decode(),
        "base64 after one byte": base64.b64encode(b"x" + data).decode(),
        "base64 after two bytes": base64.b64encode(b"u:" + data + b"!").decode(),
        "base64 for URLs": base64.urlsafe_b64encode(b"??>" + data).decode(),
        "URL": quote(secret, safe=""),
        "lower-case URL": re.sub("%..", lambda match: match[0].lower(), quote(secret, safe="")),
        "form": quote_plus(secret),
        "JSON": json.dumps(secret),
        "JSON as it is": json.dumps(secret, ensure_ascii=False),
        "JSON in JSON": json.dumps(json.dumps(secret)[1:-1]),
        "Python": repr(secret),
        "HTML": html.escape(secret),
        "wrapped": textwrap.indent(textwrap.fill(secret, 7, drop_whitespace=False), "    "),
        "wrapped with CRLF": secret[:9] + "\r\n" + secret[9:],
        "wrapped base64": "\n".join(textwrap.wrap(base64.b64encode(b"ab" + data).decode(), 11)),
        "one character a line": "\n".join(secret),
    }


@pytest.mark.parametrize("secret", [SECRET, AWKWARD, "correcthorsebattery", "12345678901234567890"])
@pytest.mark.parametrize("spelling", spellings(SECRET))
def test_a_secret_is_masked_in_every_spelling(secret: str, spelling: str):
    printed = spellings(secret)[spelling]
    masker = Masker.from_environment({"DEPLOY_TOKEN": secret})
    text = f"before {printed} after"
    cleaned = masker.clean(text)
    assert masker.suspects(text)
    assert cleaned.startswith("before ") and cleaned.endswith(" after")
    kept = cleaned.removeprefix("before ").removesuffix(" after").strip("\"'= \n")
    assert MASK in kept and len(kept.replace(MASK, "")) <= 3  # of base64, what was in front of the secret


@pytest.mark.parametrize("kind", known_tokens())
def test_a_text_that_looks_like_a_token_is_masked_without_being_known(kind: str):
    token = known_tokens()[kind]
    masker = Masker()
    for text in (token, f"E  assert '{token}' == 1", "x" * 40_000 + "\n" + token + "\n" + "y" * 40_000):
        assert masker.suspects(text)
        cleaned = masker.clean(text)
        assert MASK in cleaned
        for part in (BODY[:16], BODY.upper()[:16], base64.b64encode(BODY.encode() * 6).decode()[:20]):
            assert part not in cleaned


def test_what_surrounds_a_known_format_stays_readable():
    masker = Masker()
    assert masker.clean(known_tokens()["address"]) == "https://someone:***@example.org/x.git"
    assert masker.clean(known_tokens()["header"]) == "Authorization: Bearer ***"
    key = pem("PRIVATE KEY")
    assert masker.clean(f"a {key} b {pem('CERTIFICATE')}") == f"a *** b {pem('CERTIFICATE')}"


@pytest.mark.parametrize(
    "name",
    ["API_TOKEN", "SYSTEM_ACCESSTOKEN", "db_password", "MYSQL_PASS", "STRIPE_API_KEY", "AWS_SECRET_ACCESS_KEY",
     "GOOGLE_CREDENTIALS", "NPM_AUTH", "SIGNING_KEY", "SENTRY_DSN", "CI_BRIDGE_CODE_HOST_TOKEN", "SSH_PRIVATE_KEY"],
)  # fmt: skip
def test_variables_named_like_secrets_are_secret(name: str):
    assert Masker.from_environment({name: SECRET}).clean(f"<{SECRET}>") == "<***>"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SSH_AUTH_SOCK", "/tmp/ssh-agent.sock"),
        ("XAUTHORITY", "/home/me/.Xauthority"),
        ("GIT_AUTHOR_NAME", "Ada Lovelace"),
        ("GOOGLE_CREDENTIALS", "/home/runner/work/credentials.json"),
        ("NPM_TOKEN", "disabled"),
        ("USE_TOKEN", "true"),
        ("TOKEN_EXPIRES", "2026-01-01T00:00"),
        ("TOKEN_TTL", "1700000000"),
        ("API_TOKEN", "12345678"),
        ("AUTH_URL", "https://login.example.org/"),
        ("AWS_ACCESS_KEY_ID", "not-a-secret-at-all"),
        ("TOKENIZERS_PARALLELISM", "somewhere"),
        ("SYSTEM_ACCESSTOKEN", "$(System.AccessToken)"),
        ("PWD", "/work/project"),
        ("OLDPWD", "somewhere-else"),
        ("HOME_TOKEN", "short"),
        ("EDITOR", "ordinary-value"),
    ],
)
def test_ordinary_variables_are_no_secrets(name: str, value: str):
    assert Masker.from_environment({name: value}).clean(f"a {value} b") == f"a {value} b"


def test_a_password_in_any_variables_url_is_masked_wherever_it_appears():
    masker = Masker.from_environment({"REPOSITORY": f"https://ci:{quote(AWKWARD, safe='')}@example.org/x"})
    assert masker.clean(f"login with {AWKWARD}") == "login with ***"


def test_every_line_of_a_secret_of_several_lines_is_masked_by_itself():
    lines = ["first-Line-1234", "second-Line-5678"]
    masker = Masker.from_environment({"DEPLOY_SECRET": "\n".join(lines)})
    for line in lines:
        assert masker.clean(f"> {line}") == "> ***"


def test_our_own_short_tokens_are_masked_but_not_single_letters():
    masker = Masker(["hunt", "abc", ""])
    assert masker.clean("hunter abc") == "***er abc"


def test_overlapping_secrets_leave_no_rest():
    masker = Masker(["abcdefgh1234", "1234567890ab"])
    assert masker.clean("abcdefgh1234567890ab") == MASK


def test_the_longer_of_two_nested_secrets_goes_whole():
    masker = Masker([SECRET, SECRET + "-production"])
    assert masker.clean(SECRET + "-production") == MASK


ORDINARY = [
    "true false null 0 1 42 2026-01-02T03:04:05Z 0x7f3a8b2c1d00",
    "AssertionError: assert 41 == 42",
    "tests/test_cart.py::test_total[github-3.12] https://example.org/a?b=c me@example.org git@example.org:a/b.git",
    "com.example.SomeServiceTestCase.shouldReturnNotFoundWhenMissing",
    "test_pat_with_a_long_name_that_goes_on npm_config_cache xoxo high_level_api_of_the_thing",
    "class Authorization: Basic ideas about tokens; Bearer of bad news",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "task_live_view eyJ no token, AKIA neither; ssh://git@example.org/a.git",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "123e4567-e89b-12d3-a456-426614174000",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_alone(text: str):
    masker = Masker.from_environment({"A_TOKEN": SECRET, "B_TOKEN": "correcthorsebattery"})
    assert masker.clean(text) == text


secrets = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="*"), min_size=8, max_size=40
).filter(lambda text: len("".join(text.split())) >= 8 and text == text.strip())
pieces = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@settings(deadline=None)
@given(
    secret=secrets, before=pieces, after=pieces, wrap=st.integers(1, 40), spelling=st.sampled_from([*spellings(SECRET)])
)
@example(secret="0000\xa00/a¡", before="", after="", wrap=1, spelling="plain")
@example(secret="correct\u3000horse\u2003、、„", before="\x85", after="", wrap=2, spelling="plain")
def test_a_secret_anywhere_in_any_spelling_never_survives(secret, before, after, wrap, spelling):
    masker = Masker([secret])
    printed = spellings(secret)[spelling]
    printed = (
        "\n ".join(printed[i : i + wrap] for i in range(0, len(printed), wrap)) if len(printed) > wrap else printed
    )
    text = before + printed + after
    assert masker.suspects(text)
    cleaned = masker.clean(text)
    core = base64.b64encode(secret.encode()).decode()[: len(secret.encode()) * 8 // 6]
    for trace in (secret, core, quote(secret, safe="")):
        assert trace not in cleaned
        assert "".join(trace.split()) not in "".join(cleaned.split()) or trace not in printed
    assert secret not in cleaned.replace("\n ", "")


BLANKS = [char for char in map(chr, range(0x3001)) if char.isspace()]


@pytest.mark.parametrize("blank", BLANKS, ids=lambda char: f"U+{ord(char):04X}")
def test_a_secret_is_found_whatever_white_space_it_is_wrapped_at(blank: str):
    for distance in range(1, 64):
        neighbour = chr(ord(blank) ^ distance)  # shares bytes with the blank in UTF-8
        if neighbour.isspace() or not neighbour.isprintable():
            continue
        secret = f"0{neighbour}" * 4
        text = f"\n{blank}".join(secret)
        masker = Masker([secret])
        assert masker.suspects(text), secret
        assert masker.clean(text) == MASK


@settings(deadline=None)
@given(text=st.text(max_size=300), secret=secrets)
def test_suspects_is_never_false_for_a_text_that_clean_changes(text, secret):
    masker = Masker([secret])
    for candidate in (text, text + "\n" + text, secret[:-1] + text):
        if not masker.suspects(candidate):
            assert masker.clean(candidate) == candidate


@settings(deadline=None)
@given(text=st.text(st.sampled_from("abcdefghij ._/:-\n"), max_size=2000))
def test_a_text_without_secrets_is_returned_unchanged(text):
    assert Masker([SECRET]).clean(text) == text


@pytest.mark.parametrize(
    "flood",
    [
        "-----BEGIN PRIVATE KEY-----\n",
        "://a:" * 3,
        "eyJaaaaaaaa",
        "Authorization: ",
        "A" * 60 + "AZDO ",
        "Xy7pQ2mnB4kLr9Zt8Wv\n",
        "X\n" * 8,
        "gl" + "pat-",
    ],
)
def test_time_is_linear_whatever_the_text(flood: str):
    masker = Masker([SECRET])

    def seconds(size: int) -> float:
        text = flood * (size // len(flood)) + "@"
        start = time.process_time()
        masker.clean(text)
        return time.process_time() - start

    seconds(10_000)
    small, large = min(seconds(100_000) for _ in range(3)), seconds(800_000)
    assert large < 8 * small * 4 + 0.2


def test_asking_costs_little_where_there_is_nothing():
    line = '<testcase classname="com.example.module_{0}.SomeServiceTest" name="test_that_{0}_is_kept" time="0.0{0}"/>\n'
    text = "".join(line.format(number) for number in range(50_000))
    masker = Masker.from_environment({"A_TOKEN": SECRET, "B_PASSWORD": "correcthorsebattery"})

    def seconds() -> float:
        start = time.process_time()
        assert not masker.suspects(text)
        return time.process_time() - start

    assert min(seconds() for _ in range(5)) / len(text) < 20e-9  # measured: 4 to 6 ns a character


def test_a_secret_is_found_at_the_border_of_two_blocks():
    masker = Masker([SECRET])
    for token in (SECRET, known_tokens()["personal token"], known_tokens()["address"]):
        for length in range(32 * 1024 - 60, 32 * 1024 + 5, 3):
            assert masker.suspects("x" * length + " " + token + " " + "y" * 100_000)
