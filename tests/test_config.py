"""The cascade: what counts, what it says when something is wrong, what an untrusted checkout may say."""

from __future__ import annotations

import copy
import json
import os
import pickle
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_bridge.config import (
    MAX_FILE_BYTES,
    NOT_YET,
    LoadedSettings,
    Secret,
    Settings,
    describe,
    load_settings,
    options,
)
from ci_bridge.errors import ConfigError
from ci_bridge.options import NotYet
from ci_bridge.preparation import prepare

HIDDEN = "s3cr3t-" + "value-0815"


def load(directory: Path = Path("/nonexistent"), env: dict[str, str] | None = None, **more: Any) -> LoadedSettings:
    return load_settings(env=env or {}, directory=directory, **more)


def problem(directory: Path = Path("/nonexistent"), env: dict[str, str] | None = None, **more: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(directory, env, **more)
    return str(caught.value)


# ---- the cascade


def test_without_anything_every_option_has_its_default():
    loaded = load()
    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.warnings == ()


def test_each_source_beats_the_ones_before_it(tmp_path: Path):
    (tmp_path / "ci-bridge.toml").write_text(
        'comment_title = "file"\nmax-retries = 1\nstrict = true\nfail_on = "errors"\n'
    )
    env = {
        "CI_BRIDGE_COMMENT_TITLE": "variable",
        "CI_BRIDGE_MAX_RETRIES": "2",
        "CI_BRIDGE_FAIL_ON": "failures",
        "CI_BRIDGE_INPUTS": "fail_on",
    }
    loaded = load(tmp_path, env, config={"comment_title": "argument"}, flags={"comment_title": "flag", "strict": None})
    assert loaded.settings.comment_title == "flag"
    assert loaded.settings.max_retries == 2
    assert loaded.settings.strict is True
    assert loaded.settings.fail_on == "failures"
    origins = loaded.origins
    assert origins["comment_title"] == "--comment-title"
    assert origins["max_retries"] == "CI_BRIDGE_MAX_RETRIES"
    assert origins["strict"] == "ci-bridge.toml"
    assert origins["fail_on"] == "input fail-on"
    assert origins["annotations"] == "default"


def test_the_config_argument_counts_like_flags(tmp_path: Path):
    loaded = load(env={"CI_BRIDGE_MAX_RETRIES": "2"}, config={"max_retries": 7, "api_url": None})
    assert loaded.settings.max_retries == 7
    assert loaded.origins["max_retries"] == "config argument"


def test_the_specifications_example_is_accepted_whole():
    config = {
        "ci_system": "auto", "api_url": None, "api_token": None, "update_interval": 60,
        "update_on_completion_only": False, "enable_status_updates": True, "status_update_format": "detailed",
        "enable_pr_comments": True, "pr_comment_on_failure_only": False, "pr_comment_template": "default",
        "pr_update_existing_comments": True, "enable_artifacts": True, "artifact_dir": "distributed_test_results",
        "artifact_retention_days": 30, "artifact_categories": ["reports", "logs", "data", "metrics"],
        "artifact_compression": True, "result_format": "all", "include_system_info": True,
        "include_failure_analysis": True, "include_performance_metrics": True, "enable_history_tracking": True,
        "history_retention_days": 90, "track_performance_trends": True, "enable_notifications": False,
        "notification_channels": [], "notification_on_failure_only": True, "enable_failure_analysis": True,
        "failure_analysis_depth": "detailed", "dashboard_integration": False, "dashboard_url": None,
        "detailed_logging": False, "retry_failed_api_calls": True, "max_retries": 3, "retry_delay_seconds": 5,
    }  # fmt: skip
    assert load(config=config).settings == Settings()


def test_the_table_in_pyproject_toml_counts(tmp_path: Path):
    (tmp_path / "pyproject.toml").write_text('[tool.ci-bridge]\nfail_on = "errors"\nresults = ["a/*.xml", "b.json"]\n')
    loaded = load(tmp_path)
    assert loaded.settings.results == ("a/*.xml", "b.json")
    assert loaded.origins["fail_on"] == "pyproject.toml [tool.ci-bridge]"


def test_ci_bridge_toml_makes_pyproject_toml_ignored_as_a_whole_and_says_so(tmp_path: Path):
    (tmp_path / "pyproject.toml").write_text('[tool.ci-bridge]\nfail_on = "errors"\n')
    (tmp_path / "ci-bridge.toml").write_text("strict = true\n")
    loaded = load(tmp_path)
    assert loaded.settings.fail_on == "never"
    assert loaded.settings.strict
    assert "pyproject.toml is ignored" in loaded.warnings[0]


def test_a_broken_pyproject_toml_that_never_mentions_us_is_none_of_our_business(tmp_path: Path):
    (tmp_path / "pyproject.toml").write_text("[project\n")
    assert load(tmp_path).settings == Settings()
    (tmp_path / "pyproject.toml").write_text("[tool.ci-bridge\n")
    assert problem(tmp_path).startswith("pyproject.toml, line 1, column ")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("YES", True),
        ("On", True),
        ("1", True),
        ("false", False),
        ("No", False),
        ("off", False),
        ("0", False),
    ],
)
def test_truth_values_in_the_environment_are_read_in_any_case(text: str, value: bool):
    assert load(env={"CI_BRIDGE_STRICT": f" {text} "}).settings.strict is value


@pytest.mark.parametrize(
    "text", ["reports,logs", "reports\nlogs", " reports , logs ,", "reports\r\nlogs\n\n", "reports,reports\nlogs"]
)
def test_lists_in_the_environment_are_separated_by_commas_or_lines(text: str):
    assert load(env={"CI_BRIDGE_ARTIFACT_CATEGORIES": text}).settings.artifact_categories == ("reports", "logs")


@pytest.mark.parametrize("name", [option.variable for option in options()])
def test_an_empty_variable_is_unset(name: str):
    assert load(env={name: "", "CI_BRIDGE_INPUTS": ""}).settings == Settings()


def test_seconds_may_be_fractions():
    assert load(env={"CI_BRIDGE_RETRY_DELAY_SECONDS": "0.5"}).settings.retry_delay_seconds == 0.5


@pytest.mark.parametrize(
    ("text", "shard"),
    [
        ("windows", "windows"),
        (
            '{\n  "os": "ubuntu",\n  "python": 3.12,\n  "extra": {"b": 1, "a": null}\n}',
            'os=ubuntu / python=3.12 / extra={"a": null, "b": 1}',
        ),
        ('{"a": "x y"}', "a=x y"),
        ('{"a": "x  y"}', "a=x y c11554d0d2e4"),
        ('{"a": "x / b=y"}', "a=x / b=y c43f847f4f3e"),
        ("x" * 201, "x" * 186 + "… 84a0678c9093"),
        ("null", None),
        ("{}", None),
        ("{broken\njson", "{broken json"),
    ],
)
def test_a_matrix_becomes_the_key_of_a_shard(text: str, shard: str | None):
    assert load(env={"CI_BRIDGE_SHARD": text}).settings.shard == shard


# ---- what is wrong is said, all at once


def test_every_problem_of_every_source_is_reported_at_once(tmp_path: Path):
    (tmp_path / "ci-bridge.toml").write_text('fail_on = "failure"\nhistroy_key = "x"\n')
    env = {"CI_BRIDGE_STRICT": "maybe", "CI_BRIDGE_MAX_RETIRES": "3"}
    allowed = "never, failures, new-failures, errors"
    text = problem(tmp_path, env, config={"max_retries": "3"}, flags={"max_annotations": -1})
    assert text.splitlines()[0] == "6 problems in the configuration:"
    for line in (
        f'  - ci-bridge.toml: fail_on = "failure": must be one of {allowed}; did you mean failures?',
        "  - ci-bridge.toml: histroy_key: there is no such option; did you mean history_key?",
        '  - CI_BRIDGE_STRICT = "maybe": must be true or false, yes or no, on or off, 1 or 0',
        "  - CI_BRIDGE_MAX_RETIRES: there is no such option; did you mean CI_BRIDGE_MAX_RETRIES?",
        '  - config argument: max_retries = "3": must be a whole number from 0 to 100, without quotes',
        "  - --max-annotations = -1: must be a whole number from 0 to 10000",
    ):
        assert line in text.splitlines()


def test_an_unknown_input_is_named_as_the_user_wrote_it():
    env = {"CI_BRIDGE_INPUTS": "fial_on,version", "CI_BRIDGE_FIAL_ON": "never", "CI_BRIDGE_VERSION": "1"}
    text = problem(env=env)
    assert "input fial-on: there is no such option; did you mean fail-on?" in text
    assert "input version: there is no such option" in text


def test_an_unknown_flag_or_argument_is_an_error():
    assert problem(flags={"fail-onn": "never"}) == "--fail-onn: there is no such option; did you mean fail_on?"
    assert problem(config={"frobnicate": 1}) == "config argument: frobnicate: there is no such option"


def test_a_variable_in_lower_case_is_not_silently_ignored():
    assert problem(env={"CI_BRIDGE_fail_on": "never"}).endswith("did you mean CI_BRIDGE_FAIL_ON?")


def test_variables_that_pin_our_version_are_not_options():
    assert load(env={"CI_BRIDGE_VERSION": "1.2", "CI_BRIDGE_IMAGE": "x"}).settings == Settings()


def test_the_same_option_spelt_twice_in_one_file_is_an_error(tmp_path: Path):
    (tmp_path / "ci-bridge.toml").write_text('fail_on = "never"\nfail-on = "errors"\n')
    assert "fail-on and fail_on are the same option" in problem(tmp_path)


def test_a_table_in_ci_bridge_toml_is_explained(tmp_path: Path):
    (tmp_path / "ci-bridge.toml").write_text("[tool.ci-bridge]\nstrict = true\n")
    assert problem(tmp_path).endswith("options stand at the top, in no table of their own")


@pytest.mark.parametrize(
    "line",
    [
'strict = "true"', "strict = 1", "max_retries = true", "max_retries = 3.0", 'max_retries = "3"',
        "max_retries = -1", "max_retries = 101", "deadline_seconds = nan", "deadline_seconds = inf",
        "deadline_seconds = -0.1", "deadline_seconds = 1e99", "update_interval = true", "artifact_retention_days = 0",
        "history_retention_days = 0", "fail_on = 1", 'fail_on = ""', 'fail_on = "Never"', "results = 1",
        "results = [1]", 'artifact_categories = ["report"]', 'required_channels = ["slack"]', 'result_format = "pdf"',
        'artifact_dir = ""', 'artifact_dir = "./"', 'artifact_dir = "/"', 'artifact_dir = "a/.."',
        'history_key = "../x"', 'history_key = "a b"', 'history_key = ".x"', 'comment_title = "a\\u0000b"',
        'comment_title = "a\\nb"', 'comment_title = "a\\u001bb"', "comment_title = 2026-01-02",
        'ci_system = "githbu"', 'time_unit = "s"', 'api_url = "ftp://x"', 'dashboard_url = "http://"',
        'api_url = "https://u:p@example.org"', 'api_url = "https://[broken"', 'history_url = "mysql://x/y"',
        'pr_comment_template = "detaild"', 'shard_total = 0', "comment_title = {a = 1}",
    ],
)  # fmt: skip
def test_a_bad_value_in_a_file_is_an_error_that_names_its_key(tmp_path: Path, line: str):
    (tmp_path / "ci-bridge.toml").write_text(line + "\n")
    text = problem(tmp_path)
    assert text.startswith(f"ci-bridge.toml: {line.split(' ')[0]} = ")
    assert "must" in text or "is not" in text


@pytest.mark.parametrize("text", ["", "٣", "1_0", "1e3", "0x10", "nan", "9" * 5000, "--1", "3.5"])
def test_only_plain_decimal_numbers_are_numbers(text: str):
    if text:
        assert "must be a whole number" in problem(env={"CI_BRIDGE_MAX_RETRIES": text})
    else:
        assert load(env={"CI_BRIDGE_MAX_RETRIES": text}).settings.max_retries == 3


def test_an_unknown_ci_system_is_answered_with_the_known_ones():
    text = problem(env={"CI_BRIDGE_CI_SYSTEM": "locl"})
    assert "must be one of auto, " in text
    assert text.endswith("did you mean local?")
    assert load(env={"CI_BRIDGE_CI_SYSTEM": "local"}).settings.ci_system == "local"


def test_nothing_that_a_log_viewer_obeys_gets_into_a_message(tmp_path: Path):
    hostile = "##vso[task.x]\\u001b[31m::error::\\u2028\\u202e##teamcity["
    (tmp_path / "ci-bridge.toml").write_text(f'fail_on = "{hostile}"\n"{hostile}" = 1\n')
    text = problem(tmp_path)
    for dangerous in ("##", "\x1b", "[task", "\u2028", "\u202e"):
        assert dangerous not in text
    assert max(map(len, text.splitlines())) < 400


# ---- files


def test_a_syntax_error_names_file_line_and_column(tmp_path: Path):
    (tmp_path / "ci-bridge.toml").write_text("strict = true\nfail_on = never\n")
    assert problem(tmp_path).startswith("ci-bridge.toml, line 2, column 11: ")
    (tmp_path / "ci-bridge.toml").write_text('strict = true\nfail_on = "never')
    assert problem(tmp_path).startswith("ci-bridge.toml, line 2, column ")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"strict = true\n\xff\xfe", "line 2: is not UTF-8"),
        (b"a = " + b"[" * 50_000, "nested too deeply"),
        (b"#" * (MAX_FILE_BYTES + 1), "is larger than 256 KiB"),
        (b"max_retries = " + b"9" * 10_000, "too long"),
    ],
    ids=["not UTF-8", "deep", "large", "long number"],
)
def test_a_hostile_file_is_refused_with_its_reason(tmp_path: Path, data: bytes, says: str):
    (tmp_path / "ci-bridge.toml").write_bytes(data)
    assert says in problem(tmp_path)


def test_a_byte_order_mark_and_crlf_are_fine(tmp_path: Path):
    (tmp_path / "ci-bridge.toml").write_bytes(b"\xef\xbb\xbfstrict = true\r\n")
    assert load(tmp_path).settings.strict


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path):
    (tmp_path / "outside.toml").write_text("strict = true\n")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "ci-bridge.toml").symlink_to(tmp_path / "outside.toml")
    assert "leads out of its folder" in problem(inside)


def test_a_link_within_the_folder_is_followed(tmp_path: Path):
    (tmp_path / "other.toml").write_text("strict = true\n")
    (tmp_path / "ci-bridge.toml").symlink_to("other.toml")
    assert load(tmp_path).settings.strict


def test_a_pyproject_toml_that_is_a_link_to_elsewhere_is_left_alone_with_a_warning(tmp_path: Path):
    (tmp_path / "outside.toml").write_text("[tool.ci-bridge]\nstrict = true\n")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "pyproject.toml").symlink_to(tmp_path / "outside.toml")
    loaded = load(inside)
    assert not loaded.settings.strict
    assert "leads out of its folder" in loaded.warnings[0]


def test_pipes_folders_and_dead_links_are_refused_without_waiting(tmp_path: Path):
    file = tmp_path / "ci-bridge.toml"
    os.mkfifo(file)
    assert "not a regular file" in problem(tmp_path)
    file.unlink()
    file.mkdir()
    assert "not a regular file" in problem(tmp_path)
    file.rmdir()
    file.symlink_to(tmp_path / "nothing.toml")
    assert "a link to nowhere" in problem(tmp_path)


@settings(deadline=None)
@given(data=st.binary(max_size=300))
def test_whatever_bytes_a_file_holds_the_answer_is_settings_or_a_config_error(tmp_path_factory, data: bytes):
    directory = tmp_path_factory.mktemp("config")
    (directory / "ci-bridge.toml").write_bytes(data)
    try:
        loaded = load(directory)
    except ConfigError as error:
        assert str(error).isprintable() or "\n" in str(error)
    else:
        assert isinstance(loaded.settings, Settings)


@settings(deadline=None)
@given(name=st.sampled_from([option.variable for option in options()]), text=st.text(max_size=40))
def test_whatever_a_variable_holds_the_answer_is_settings_or_a_config_error(name: str, text: str):
    try:
        loaded = load(env={name: text})
    except ConfigError as error:
        assert name in str(error)
    else:
        assert isinstance(loaded.settings, Settings)


# ---- an untrusted checkout

UNTRUSTED = {
    "ci_system": '"local"',
    "api_url": '"https://evil.example"',
    "api_token": '"x"',
    "code_host": '"local"',
    "code_host_url": '"https://evil.example"',
    "code_host_token": '"x"',
    "dashboard_url": '"https://evil.example"',
    "notification_urls": '["slack://evil"]',
    "history_url": '"/tmp/elsewhere"',
    "history_key": '"other"',
    "history_secret": '"x"',
    "history_retention_days": "1",
    "artifact_url": '"/tmp/elsewhere"',
    "artifact_dir": '"/etc"',
    "pr_comment_template": '"evil/template.j2"',
    "notification_template": '"evil/template.j2"',
}


@pytest.mark.parametrize("key", UNTRUSTED)
@pytest.mark.parametrize("spelling", [str, lambda key: key.replace("_", "-")], ids=["underscores", "hyphens"])
def test_an_untrusted_file_cannot_say_where_data_and_credentials_go(tmp_path: Path, key: str, spelling):
    (tmp_path / "ci-bridge.toml").write_text(f"{spelling(key)} = {UNTRUSTED[key]}\nstrict = true\n")
    loaded = load(tmp_path, trusted=False)
    assert getattr(loaded.settings, key) == getattr(Settings(), key)
    assert loaded.origins[key] == "default"
    assert loaded.settings.strict
    assert len(loaded.warnings) == 1
    assert key in loaded.warnings[0]


def test_the_options_that_only_trusted_sources_may_set_are_these():
    declared = {option.name for option in options() if option.trusted_only}
    assert declared == set(UNTRUSTED) - {"pr_comment_template", "notification_template"}


def test_an_untrusted_file_may_name_a_built_in_template(tmp_path: Path):
    (tmp_path / "ci-bridge.toml").write_text('pr_comment_template = "minimal"\n')
    loaded = load(tmp_path, trusted=False)
    assert loaded.settings.pr_comment_template == "minimal"
    assert not loaded.warnings


LEADING_OUTSIDE = "/srv/**/*.xml ../*.xml a/../../b.xml {/srv,a}/*.xml {,a}/srv/*.xml .{.,x}/*.xml a/{..,b}/*.xml"


@pytest.mark.parametrize("pattern", LEADING_OUTSIDE.split())
@pytest.mark.parametrize("name", ["ci-bridge.toml", "pyproject.toml"])
def test_patterns_of_an_untrusted_file_stay_in_the_workspace(tmp_path: Path, name: str, pattern: str):
    table = "[tool.ci-bridge]\n" if name == "pyproject.toml" else ""
    (tmp_path / name).write_text(f'{table}results = ["{pattern}", "out..put/{{a,b}}/*.xml", "!**/old.xml"]\n')
    pull_request = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "acme/shop", "GITHUB_REF": "refs/pull/42/merge"}
    loaded, _, context = prepare(None, pull_request, tmp_path)
    assert context.pr_number == "42"
    assert loaded.settings.results == ("out..put/{a,b}/*.xml", "!**/old.xml")
    (warning,) = loaded.warnings
    assert pattern in warning and "untrusted checkout" in warning and "CI_BRIDGE_RESULTS" in warning
    trusted, _, _ = prepare(None, {}, tmp_path)
    assert pattern in trusted.settings.results
    by_hand = {"CI_BRIDGE_RESULTS": pattern.split(",")[0]} | pull_request
    assert prepare(None, by_hand, tmp_path)[0].settings.results == (pattern.split(",")[0],)


def test_a_template_inside_an_untrusted_checkout_is_ignored_whoever_names_it(tmp_path: Path):
    env = {"CI_BRIDGE_PR_COMMENT_TEMPLATE": "ci/comment.md.j2"}
    loaded = load(tmp_path, env, trusted=False)
    assert loaded.settings.pr_comment_template == "default"
    assert "untrusted checkout" in loaded.warnings[0]
    assert load(tmp_path, env).settings.pr_comment_template == str(tmp_path / "ci/comment.md.j2")
    outside = {"CI_BRIDGE_PR_COMMENT_TEMPLATE": "/opt/templates/comment.md.j2"}
    assert load(tmp_path, outside, trusted=False).settings.pr_comment_template == "/opt/templates/comment.md.j2"


def test_inputs_variables_and_flags_count_on_an_untrusted_checkout_too(tmp_path: Path):
    (tmp_path / "ci-bridge.toml").write_text('artifact_dir = "/etc"\n')
    loaded = load(tmp_path, {"CI_BRIDGE_ARTIFACT_DIR": "out"}, flags={"history_key": "main"}, trusted=False)
    assert loaded.settings.artifact_dir == "out"
    assert loaded.settings.history_key == "main"


@pytest.mark.parametrize("key", ["api_token", "code_host_token"])
def test_a_token_in_any_file_is_refused_with_advice_and_never_shown(tmp_path: Path, key: str):
    (tmp_path / "ci-bridge.toml").write_text(f'{key} = "{HIDDEN}"\n')
    text = problem(tmp_path)
    assert f"revoke it and set CI_BRIDGE_{key.upper()}" in text
    assert HIDDEN not in text


# ---- secrets


def test_a_secret_shows_itself_nowhere():
    secret = Secret(HIDDEN)
    holder = Settings(api_token=secret, notification_urls=(secret,))
    shown = [
        repr(secret), str(secret), f"{secret}", f"{secret:>20}", f"{secret!a}", repr(holder), str(asdict(holder)),
        repr(dir(secret)), repr(LoadedSettings(holder, {})),
        str(describe(LoadedSettings(holder, {option.name: "x" for option in options()}))),
    ]  # fmt: skip
    assert not any(HIDDEN in text for text in shown)
    assert secret.reveal() == HIDDEN


def test_a_secret_cannot_be_pickled_or_turned_into_json():
    with pytest.raises(TypeError):
        pickle.dumps(Secret(HIDDEN))
    with pytest.raises(TypeError):
        json.dumps(Secret(HIDDEN))
    with pytest.raises(TypeError):
        vars(Secret(HIDDEN))


def test_secrets_compare_by_value_and_copies_are_the_same():
    secret = Secret(HIDDEN)
    assert secret == Secret(HIDDEN)
    assert hash(secret) == hash(Secret(HIDDEN))
    assert secret != Secret("other")
    assert secret != HIDDEN
    assert copy.deepcopy(secret) is copy.copy(secret) is secret


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (key, value)
        for key in ("api_token", "code_host_token", "notification_urls")
        for value in (HIDDEN, 12345678, [HIDDEN], HIDDEN + "\x00")
        if (key, value) != ("api_token", HIDDEN)  # the one that is right
    ],
)
def test_no_message_shows_a_secrets_value(key: str, value: Any):
    text = problem(config={key: value})
    assert key in text
    assert HIDDEN not in text
    assert "12345678" not in text


def test_a_password_inside_an_address_is_not_shown():
    text = problem(env={"CI_BRIDGE_HISTORY_URL": f"postgresql://ci:{HIDDEN}@db/x"})
    assert "postgresql://***@db/x" in text
    assert HIDDEN not in text


# ---- what this version does not do yet

MORE_THAN_DEFAULT: dict[str, Any] = {
    "code_host": "local", "code_host_token": "x",
    "code_host_url": "https://example.org", "artifact_url": "folder", "history_url": "s3://bucket/x",
    "enable_notifications": True, "notification_channels": ["slack"], "notification_urls": ["slack://x"],
    "notification_on_failure_only": False, "notification_template": "minimal", "dashboard_integration": True,
    "dashboard_url": "https://example.org",
}  # fmt: skip


def test_every_missing_option_has_an_example_here():
    assert set(MORE_THAN_DEFAULT) == set(NOT_YET)


@pytest.mark.parametrize("name", MORE_THAN_DEFAULT)
def test_asking_for_what_is_not_there_yet_is_refused(name: str):
    text = problem(config={name: MORE_THAN_DEFAULT[name]})
    assert "not available in this version" in text
    assert name in text


@pytest.mark.parametrize("name", MORE_THAN_DEFAULT)
def test_the_default_of_what_is_not_there_yet_is_accepted(name: str):
    default = getattr(Settings(), name)
    assert load(config={name: default}).settings == Settings()
    if isinstance(default, bool):
        assert load(env={f"CI_BRIDGE_{name.upper()}": str(default)}).settings == Settings()


def test_a_bad_value_of_what_is_not_there_yet_is_still_called_bad():
    assert "must be a whole number" in problem(env={"CI_BRIDGE_SHARD_TOTAL": "many"})


def test_the_history_may_lie_in_a_folder_and_nowhere_else_yet():
    assert load(env={"CI_BRIDGE_HISTORY_URL": "../history"}).settings.history_url == "../history"
    assert NOT_YET["history_url"] == NotYet("only a folder can hold the history so far", values="://")


# ---- the declaration


def test_there_is_one_option_for_every_field_of_settings():
    assert [option.name for option in options()] == [field.name for field in fields(Settings)]


@pytest.mark.parametrize("option", options(), ids=lambda option: option.name)
def test_every_option_is_declared_whole(option):
    assert option.help and option.help[0].isupper() and not option.help.endswith(".")
    assert option.type in ("boolean", "integer", "number", "string", "list")
    if option.type in ("integer", "number"):
        assert option.minimum < option.maximum
        assert option.default is None or option.minimum <= option.default <= option.maximum
    if option.choices:
        texts = option.default if isinstance(option.default, tuple) else (option.default,)
        assert set(texts) <= set(option.choices)
    if "token" in option.name:
        assert option.secret and not option.in_file and option.trusted_only


def test_describe_names_every_option_with_its_origin_and_masks_secrets():
    loaded = load(env={"CI_BRIDGE_FAIL_ON": "errors"})
    rows = {name: (value, origin) for name, value, origin in describe(loaded)}
    assert rows["fail_on"] == ("errors", "CI_BRIDGE_FAIL_ON")
    assert rows["artifact_categories"] == ("reports, logs, data, metrics", "default")
    assert rows["strict"] == ("false", "default")
    assert list(rows) == [option.name for option in options()]
    shown = LoadedSettings(Settings(api_token=Secret(HIDDEN)), loaded.origins)
    assert ("api_token", "***", "default") in describe(shown)


def test_a_text_without_quotes_is_told_to_have_some(tmp_path: Path):
    (tmp_path / "ci-bridge.toml").write_text("fail_on = never\n")
    with pytest.raises(ConfigError, match="line 1, column 11: Invalid value; texts need quotes"):
        load_settings(env={}, directory=tmp_path)
