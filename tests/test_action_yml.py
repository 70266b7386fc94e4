"""The action, the image, the include and the configuration page say the same as Settings and pyproject.toml."""

from __future__ import annotations

import json
import re
import runpy
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from ci_bridge._version import __version__
from ci_bridge.channels import outputs_of
from ci_bridge.config import INPUTS_VARIABLE, load_settings, options
from ci_bridge.errors import ConfigError
from ci_bridge.options import PREFIX
from docs import generate
from tests.report.builders import rich_report

ROOT = Path(__file__).resolve().parent.parent


def action() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    return loaded


def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text(encoding="utf-8")


def stages() -> list[str]:
    return re.split(r"^FROM ", dockerfile(), flags=re.MULTILINE)[1:]


def adopted(env: dict[str, str]) -> dict[str, str]:
    """What the container's entry point makes of an environment."""
    runpy.run_path(str(ROOT / "entrypoint" / "main.py"))["adopt_inputs"](env)
    return env


def test_every_option_is_an_input_and_every_input_an_option():
    assert list(action()["inputs"]) == [option.hyphenated for option in options()]


def test_every_output_of_the_report_is_declared_and_every_declared_one_is_set():
    assert set(action()["outputs"]) == set(outputs_of(rich_report(), {}))
    assert all(entry["description"] for entry in action()["outputs"].values())


def test_the_generated_actions_and_page_are_current():
    assert generate.ACTION.read_text(encoding="utf-8") == generate.container_action()
    assert generate.COMPOSITE.read_text(encoding="utf-8") == generate.composite_action()
    assert generate.PAGE.read_text(encoding="utf-8") == generate.configuration_page()


def test_the_page_has_a_row_for_every_option_and_no_other():
    rows = re.findall(r"^\| `([a-z_]+)` \|", generate.configuration_page(), re.MULTILINE)
    assert rows == [option.name for option in options()]


def test_inputs_have_no_defaults_of_their_own_so_that_files_can_speak():
    defaults = {name: entry["default"] for name, entry in action()["inputs"].items() if "default" in entry}
    assert defaults == {  # what the workflow alone knows
        "api-token": "${{ github.token }}",
        "shard": "${{ toJSON(matrix) }}",
        "shard-total": "${{ strategy.job-total }}",
    }
    assert not any(entry.get("required") for entry in action()["inputs"].values())


def test_an_input_says_its_default_and_what_is_allowed():
    text = action()["inputs"]["fail-on"]["description"]
    assert "never, failures, new-failures, errors; default never" in text


def test_the_action_runs_the_image_of_this_repository():
    assert action()["runs"] == {"using": "docker", "image": "Dockerfile"}


@pytest.mark.parametrize("option", options(), ids=lambda option: option.name)
def test_an_input_of_the_action_sets_its_option(option, tmp_path: Path):
    value = {"boolean": "yes", "integer": "7", "number": "7"}.get(option.type, (*option.choices, "auto")[-1])
    if option.shape in ("url", "store"):
        value = "https://example.org"
    env = adopted({f"INPUT_{option.hyphenated.upper()}": value, "PATH": "/bin"})
    assert env[option.variable] == value
    try:
        loaded = load_settings(env=env, directory=tmp_path)
    except ConfigError as error:
        assert f"input {option.hyphenated} = " in str(error)  # it arrived, and this version refuses the value
    else:
        assert loaded.origins[option.name] == f"input {option.hyphenated}"


def test_empty_inputs_are_unset_and_other_variables_are_left_alone():
    before = {"INPUT_FAIL-ON": " ", "INPUT_STRICT": "", "INPUT_ARGS": "detect", "INPUT_ENTRYPOINT": "x", "HOME": "/h"}
    assert adopted(dict(before)) == {**before, INPUTS_VARIABLE: ""}


def test_an_input_beats_a_variable(tmp_path: Path):
    env = adopted({"INPUT_FAIL-ON": "errors", "CI_BRIDGE_FAIL_ON": "failures"})
    assert load_settings(env=env, directory=tmp_path).settings.fail_on == "errors"


def test_a_misspelt_input_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match="input fial-on: there is no such option; did you mean fail-on"):
        load_settings(env=adopted({"INPUT_FIAL-ON": "never"}), directory=tmp_path)


def test_the_entry_point_stays_small():
    assert len((ROOT / "entrypoint" / "main.py").read_text(encoding="utf-8").splitlines()) <= 40


# ---- the composite action


def composite() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "composite" / "action.yml").read_text(encoding="utf-8"))
    return loaded


def test_the_composite_action_has_the_same_inputs_and_outputs():
    inputs = composite()["inputs"]
    assert set(inputs.pop("args")) == {"description"}  # which a container action has anyway
    assert inputs == action()["inputs"]
    described = {name: {"description": entry["description"]} for name, entry in composite()["outputs"].items()}
    assert described == action()["outputs"]
    for name, entry in composite()["outputs"].items():
        assert entry["value"] == f"${{{{ steps.report.outputs.{name} }}}}"


def test_every_input_of_the_composite_action_reaches_the_entry_point_as_a_variable():
    (step,) = [step for step in composite()["runs"]["steps"] if step.get("id") == "report"]
    handed = {name: value for name, value in step["env"].items() if name.startswith("INPUT_")}
    assert handed.pop("INPUT_ARGS") == "${{ inputs.args }}"
    assert list(handed.values()) == [f"${{{{ inputs.{name} }}}}" for name in action()["inputs"]]
    env = adopted(dict.fromkeys(handed, "x"))
    assert set(env[INPUTS_VARIABLE].split(",")) == {option.name for option in options()}


def test_the_composite_action_hands_on_the_right_to_store_files():
    asking, reporting, *_ = composite()["runs"]["steps"]
    for name in generate.FROM_THE_RUNTIME:
        assert repr(name) in asking["with"]["script"]
        assert reporting["env"][name] == f"${{{{ steps.{asking['id']}.outputs.{name} }}}}"
    assert asking["continue-on-error"] is True


def test_no_input_is_pasted_into_a_script():
    for step in composite()["runs"]["steps"]:
        assert "${{" not in step.get("run", "")


def test_the_composite_action_uses_nothing_that_can_change_under_it():
    for step in composite()["runs"]["steps"]:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step.get("uses", "actions/x@" + "0" * 40))


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    for name in generate.FROM_THE_RUNTIME:
        monkeypatch.delenv(name, raising=False)
    return runpy.run_path(str(ROOT / "composite" / "start.py"))


def configuration(**values: object) -> str:
    known = {"enable_artifacts": True, "artifact_dir": "out", "artifact_retention_days": 7} | values
    return json.dumps({name: {"value": value, "origin": "default"} for name, value in known.items()})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "report-folder=out\nretention-days=7\n"),
        ({"enable_artifacts": False}, None),
        ({"artifact_dir": "out\nname=x"}, ""),
    ],
)
def test_the_uploading_step_is_told_the_folder_where_artifacts_are_wanted(
    start: dict[str, Any], tmp_path: Path, values: dict[str, object], expected: str | None
):
    start["announce"](configuration(**values))
    output = tmp_path / "output"
    assert (output.read_text(encoding="utf-8") if output.exists() else None) == expected


def test_the_uploading_step_has_nothing_to_do_where_the_files_went_up_already(
    start: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ACTIONS_RESULTS_URL", "https://results.example/")
    monkeypatch.setenv("ACTIONS_RUNTIME_TOKEN", "made-up")
    start["announce"](configuration())
    assert not (tmp_path / "output").exists()


def test_an_older_python_is_told_what_to_do(start: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.version_info", (3, 9, 1))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer, not 3\.9: run actions/setup-python first"):
        start["main"]()


# ---- Dockerfile


def test_the_image_starts_the_entry_point_without_a_shell():
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", dockerfile(), re.MULTILINE)
    assert entry == '["/opt/ci-bridge/bin/python", "-I", "/opt/ci-bridge/entrypoint/main.py"]'
    assert "COPY entrypoint/main.py /opt/ci-bridge/entrypoint/main.py" in stages()[-1]


def test_the_image_is_built_in_two_stages_from_one_base_that_can_be_replaced():
    assert dockerfile().count("ARG BASE=debian:13-slim") == 1
    assert [stage.split("\n")[0] for stage in stages()] == ["${BASE} AS build", "${BASE}"]


def test_the_image_installs_locked_and_hashed_packages_only():
    installs = re.findall(r"pip(?: --python \S+)?\s*\\?\s+install\s(.*?)(?= \\\n &&|\n[A-Z])", dockerfile(), re.DOTALL)
    assert len(installs) == 3
    for command in installs:
        assert "--require-hashes" in command or "--no-deps --no-index /wheel/" in command
    for name in ("requirements.lock", "requirements-dev.lock"):
        lock = (ROOT / name).read_text(encoding="utf-8")
        for block in re.split(r"\n(?=[A-Za-z])", lock):
            assert "==" in block.split("\n")[0] and "--hash=sha256:" in block


def test_no_installer_and_no_test_tool_is_left_in_the_image():
    assert "uninstall --yes pip pytest iniconfig" in stages()[0]
    assert "venv" not in stages()[1].split("COPY")[0]


def test_the_image_carries_git_without_what_its_package_brings():
    assert "COPY --from=build /usr/bin/git /usr/bin/git" in stages()[1]
    assert not re.search(r"install -y .*\bgit\b", stages()[1])
    assert "/var/lib/dpkg/status.d/git" in stages()[1]  # else no scanner knew its version


def test_the_image_has_the_python_that_its_bytecode_is_for():
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    (version,) = set(re.findall(r"/lib/python3\.(\d+)", dockerfile()))  # what Debian 13 has
    assert int(version) >= int(requires.removeprefix(">=3."))
    assert dockerfile().count("compileall -q -j 0 --invalidation-mode unchecked-hash") == 2


def test_the_dockerfile_uses_nothing_that_an_old_builder_lacks():
    for feature in ("--mount", "--chmod", "--chown", "--link", "<<", "# syntax"):
        assert feature not in dockerfile()
    assert not re.search(r"^USER", dockerfile(), re.MULTILINE)  # a container action must run as root


def test_everything_that_the_dockerfile_copies_is_let_through_and_exists():
    let_through = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile(), re.MULTILINE)
    for source in " ".join(copied).split():
        assert (ROOT / source).exists()
        assert any(fnmatch(source, pattern) or source.startswith(f"{pattern}/") for pattern in let_through)


def test_the_wheel_is_built_from_what_the_dockerfile_copies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    needed = [*project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"], "ci_bridge"]
    needed += [project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml"]
    build = stages()[0]
    for path in needed:
        assert re.search(rf"^COPY (?:.* )?{re.escape(path)} ", build, re.MULTILINE), path


# ---- the include


def include() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / ".gitlab-ci-include.yml").read_text(encoding="utf-8"))
    return loaded


def test_the_include_has_a_hidden_job_and_a_ready_one():
    jobs = include()
    assert jobs["ci-bridge"]["extends"] == ".ci-bridge"
    assert jobs["ci-bridge"]["rules"] == [{"when": "always"}]
    assert jobs[".ci-bridge"]["script"] == ["ci-bridge report"]


def test_every_variable_of_the_include_is_ours_to_read():
    text = (ROOT / ".gitlab-ci-include.yml").read_text(encoding="utf-8")
    known = {option.variable for option in options()} | {PREFIX + "IMAGE", PREFIX + "VERSION"}
    assert set(re.findall(r"CI_BRIDGE_[A-Z_]+", text)) <= known


def test_the_include_keeps_what_the_report_writes_and_pins_this_version():
    job = include()[".ci-bridge"]
    default = next(option.default for option in options() if option.name == "artifact_dir")
    assert job["artifacts"]["paths"] == [f"{default}/"]
    assert job["artifacts"]["reports"] == {"junit": f"{default}/report.xml"}
    assert include()["variables"][PREFIX + "IMAGE"].endswith(f":{__version__}")
