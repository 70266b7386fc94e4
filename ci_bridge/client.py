"""The async façade: one object that knows the build, the settings and the adapter, and owns all policy.

::

    async with ci_bridge.open_client() as ci_client:
        test_run = await ci_client.create_test_run({"name": "nightly"})
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_bridge import platforms
from ci_bridge.arguments import mapping_of, masked_value, number_of, sha_of, text_of, time_of, uuid7
from ci_bridge.artifacts import category_of, claim_folder, collect, staging_folder, unpack
from ci_bridge.config import LoadedSettings, Settings
from ci_bridge.delivery import Courier, Rung, skipped, upsert_comment, worst_of
from ci_bridge.errors import CIBridgeError, ConfigError, PlatformError
from ci_bridge.live import Announcer, LiveRun
from ci_bridge.masking import MIN_OWN_LENGTH, Masker
from ci_bridge.memory import Memory
from ci_bridge.models import (
    Artifact,
    ArtifactQuery,
    BuildContext,
    CommitStatus,
    Credentials,
    Receipt,
    StatusState,
    TestRun,
)
from ci_bridge.option_values import nearest
from ci_bridge.preparation import prepare
from ci_bridge.progress import state_of
from ci_bridge.protocols import (
    Adapter,
    Platform,
    SupportsComments,
    SupportsDownload,
    SupportsOutputs,
    SupportsStatus,
    SupportsSummary,
    SupportsUpload,
    capabilities_of,
)
from ci_bridge.remembering import Remembering
from ci_bridge.retry import Deadline, RetryPolicy, WaitingClock
from ci_bridge.run_mark import RunMark
from ci_bridge.worker import Worker
from ci_bridge.workplace import Workplace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ci_bridge.publishing import Collection
    from ci_bridge.reporting import ReportOutcome

logger = logging.getLogger("ci_bridge")

_RUN_FIELDS = frozenset(
    {"name", "build_id", "commit_sha", "branch", "pr_number", "system_info", "status", "summary", "metadata"}
)
_FINAL = frozenset({"completed", "failed", "cancelled", "error", "success", "failure", "timeout", "aborted"})
STOP_SECONDS = 1.5
"""What a stopped job gets to end its current step: a runner grants 2.5 s after SIGTERM."""


@asynccontextmanager
async def open_client(
    config: Mapping[str, Any] | None = None,
    *,
    env: Mapping[str, str] | None = None,
    directory: str | os.PathLike[str] | None = None,
    flags: Mapping[str, Any] | None = None,
    log: Callable[[str], None] | None = None,
    stdout_is_data: bool = False,
) -> AsyncIterator[Client]:
    """Detect the build, read the settings, pick the adapters and answer the client.

    Args:
        config: Options by name; they win over files and environment.
        env: The environment, by default the process's own.
        directory: What globs, configuration and ``artifact_dir`` are relative to, by default the current folder.
        flags: Options given on a command line; they win over everything.
        log: Where the last rung of a ladder writes lines, by default the logger ``ci_bridge``.
        stdout_is_data: True where somebody reads our standard output, so that no command for the CI system, such as the
            one to hide a secret in its log, may stand in it.

    Raises:
        ConfigError: An option is wrong; nothing was sent.
        PlatformNotFoundError: ``ci_system`` names no platform.
        MissingDependencyError: The platform's SDK is not installed.
    """
    environment = dict(os.environ) if env is None else dict(env)
    client = await asyncio.to_thread(_build, config, environment, directory, flags, log)
    client.hide_secrets(stdout_is_data=stdout_is_data)
    try:
        yield client
    finally:
        await client.aclose()


def _build(
    config: Mapping[str, Any] | None,
    env: Mapping[str, str],
    directory: str | os.PathLike[str] | None,
    flags: Mapping[str, Any] | None,
    log: Callable[[str], None] | None,
) -> Client:
    loaded, platform, context = prepare(config, env, directory, flags)
    settings = loaded.settings
    workspace = Path(directory or Path.cwd())
    folder = staging_folder(Path(settings.artifact_dir), workspace)
    token = settings.api_token.reveal() if settings.api_token else None
    credentials = Credentials(token=token, api_url=settings.api_url, directory=folder)
    adapter = platforms.open_adapter(platform, env, credentials)
    notice = ""
    if adapter.context.platform != platform.name or platform.connect is None:
        notice = f"{platform.title} has no adapter in this version: delivered to files"
    client = Client(
        loaded=loaded,
        platform=platform,
        context=context,
        adapter=adapter,
        workspace=workspace,
        env=env,
        notice="" if platform.name == "local" else notice,
        log=log,
    )
    for warning in loaded.warnings:
        logger.warning("%s", warning)
    return client


class Client(Remembering):
    """What users hold. Its methods never block the event loop; one background thread does the work, in order.

    Attributes:
        settings: The options in force.
        context: The build.
        capabilities: Names of the roles that the adapter fills.
    """

    def __init__(
        self,
        *,
        loaded: LoadedSettings,
        platform: Platform,
        context: BuildContext,
        adapter: Adapter,
        workspace: Path,
        env: Mapping[str, str],
        host: Adapter | None = None,
        notice: str = "",
        log: Callable[[str], None] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        policy: RetryPolicy | None = None,
    ) -> None:
        settings = loaded.settings
        self.settings: Settings = settings
        self.loaded = loaded
        self.platform = platform
        self._masker = Masker.from_environment(env, loaded.secrets)
        self.context = context = replace(context, **masked_value(context.values(), self._masker.clean))
        self.capabilities = capabilities_of(adapter)
        self._adapter = adapter
        self._host = host or adapter
        self._workspace = workspace
        self._directory = staging_folder(Path(settings.artifact_dir), workspace)
        self._env = env
        self._clock = clock
        self._monotonic = monotonic
        self._worker = Worker()
        self._policy = policy or RetryPolicy(
            retries=settings.max_retries if settings.retry_failed_api_calls else 0,
            delay=float(settings.retry_delay_seconds),
        )
        self._notice = notice
        self._runs: dict[str, LiveRun] = {}
        self._current: str | None = None
        self._place = Workplace(
            settings=settings,
            context=context,
            adapter=adapter,
            host=self._host,
            courier=self._courier(),
            masker=self._masker,
            workspace=workspace,
            directory=self._directory,
            log=log or (lambda line: logger.info("%s", line)),
            clock=clock,
            stopped=lambda: self._stopped,
            queue_events=platform.queue_events,
            trusted_events=platform.trusted_events,
            pages=platform.pages,
        )
        self._memory = Memory(self._worker, self._place)
        self._announcer = Announcer(self._workplace, monotonic)
        self._stopped = False
        if settings.detailed_logging:
            logger.setLevel(logging.DEBUG)

    def hide_secrets(self, *, stdout_is_data: bool = False) -> None:
        """Have the CI system hide the secret options in its own log, whoever prints them.

        Only those that it does not know: to tell them means to print them, where a later ``| tee`` may keep them. Its
        log has single lines, so each line of a secret counts; one under four characters would hide ordinary text.

        Args:
            stdout_is_data: See :func:`open_client`; then nothing is done.
        """
        adapter = self._adapter
        lines = dict.fromkeys(line.strip() for secret in self.loaded.own_secrets for line in secret.splitlines())
        hidden = [line for line in lines if len(line) >= MIN_OWN_LENGTH]
        if not hidden or not isinstance(adapter, SupportsOutputs):
            return
        if stdout_is_data:
            logger.info("%s is not told to hide %d secrets: stdout is data", self.platform.title, len(hidden))
            return
        try:
            for line in hidden:
                adapter.add_mask(line)
        except CIBridgeError as error:
            logger.info("%s cannot be told to hide secrets: %s", self.platform.title, error)

    # Test runs

    async def create_test_run(self, test_run_data: Mapping[str, Any] | None = None) -> TestRun:
        """Begin a test run and show it on the platform.

        Args:
            test_run_data: ``name``, ``build_id``, ``commit_sha``, ``branch``, ``pr_number``, ``system_info``; what is
                absent comes from the build, and further keys are kept as ``metadata``.

        Returns:
            The run; ``run["id"]`` names it in every other call.

        Raises:
            ConfigError: A value is of the wrong kind.
        """
        data = masked_value(dict(test_run_data or {}), self._masker.clean)
        context = self.context
        run = TestRun(
            id=uuid7(self._clock()),
            name=str(data.get("name") or self._place.run_name),
            build_id=text_of(data, "build_id") or context.build_id,
            commit_sha=sha_of(data.get("commit_sha")) or context.status_sha,
            branch=text_of(data, "branch") or context.branch,
            pr_number=number_of(data.get("pr_number")) or context.pr_number,
            created_at=time_of(data.get("start_time") or data.get("created_at")) or self._clock(),
            system_info=mapping_of(data, "system_info"),
            metadata={**{k: v for k, v in data.items() if k not in _RUN_FIELDS}, **mapping_of(data, "metadata")},
        )
        return await self._begin(run)

    async def begin_run(self) -> TestRun:
        """Begin the run that this job's :meth:`report` will complete, and show it on the platform.

        Numbers and files that other processes of the job record meanwhile join it.
        """
        run_id = await self._worker.run(lambda: self._mark().begin(self._clock()))
        return await self._begin(self._place.new_run(run_id))

    async def _begin(self, run: TestRun) -> TestRun:
        self._runs[run.id] = live = LiveRun(run)
        self._current = run.id
        self._memory.keep_run(run)
        if self.settings.enable_status_updates and not self.settings.update_on_completion_only:
            await self._announcer.push(live)
        return live.run

    async def update_test_run(self, test_run_id: str, update_data: Mapping[str, Any]) -> Receipt:
        """Say how a test run goes.

        Updates closer than ``update_interval`` are coalesced: the last one is sent when the interval is over (receipt
        state ``coalesced``). Completion is sent at once.

        Args:
            test_run_id: From :meth:`create_test_run`.
            update_data: ``status``, ``summary`` (``total_tasks``, ``task_statuses``, ``duration`` in seconds),
                ``end_time`` (ISO string or datetime); further keys join the metadata.
        """
        live = self._runs.get(test_run_id)
        if live is None:
            return Receipt(False, "", None, f"test run {test_run_id!r} was not created by this client", "run", "failed")
        data = masked_value(dict(update_data), self._masker.clean)
        status = str(data.get("status") or live.run.status)
        final = status in _FINAL or data.get("end_time") is not None
        if final and not data.get("status") and status not in _FINAL:
            status = "completed"
        summary = {**live.run.summary, **mapping_of(data, "summary")}
        live.run = replace(
            live.run,
            status=status,
            summary=summary,
            system_info={**live.run.system_info, **mapping_of(data, "system_info")},
            metadata={
                **live.run.metadata,
                **{k: v for k, v in data.items() if k not in _RUN_FIELDS and k not in ("end_time", "completed_at")},
            },
            completed_at=(time_of(data.get("end_time") or data.get("completed_at")) or self._clock())
            if final
            else None,
            state=state_of(status, summary, final=final),
        )
        self._memory.keep_run(live.run)
        if not self.settings.enable_status_updates:
            receipt = skipped("run", "enable_status_updates = false")
        elif final:
            receipt = await self._announcer.push(live)
        elif self.settings.update_on_completion_only:
            receipt = skipped("run", "update_on_completion_only = true")
        else:
            receipt = await self._announcer.update(live, self.settings.update_interval)
        if final:
            await self._memory.save()
        return receipt

    # Artifacts

    async def upload_artifact(
        self,
        test_run_id: str,
        artifact_path: str | os.PathLike[str],
        artifact_name: str | None = None,
        *,
        category: str | None = None,
    ) -> Receipt:
        """Keep a file beyond the build; a folder's regular files are kept one by one.

        Args:
            test_run_id: The run that the file belongs to.
            artifact_path: File or folder; links are refused.
            artifact_name: For people and for :meth:`download_artifact`, by default the file's name.
            category: One of ``artifact_categories``; by default it follows from the suffix.
        """
        settings = self.settings
        channel = "artifacts"
        if not settings.enable_artifacts:
            return skipped(channel, "enable_artifacts = false")
        path = self._workspace / artifact_path
        if category is not None and category not in settings.artifact_categories:
            raise ConfigError(
                f"category {category!r} is not one of artifact_categories",
                hint=f"allowed: {', '.join(settings.artifact_categories)}",
            )
        try:
            paths = await self._worker.run(lambda: collect(path))
        except CIBridgeError as error:
            return Receipt(False, "", None, str(error), channel, "failed")
        receipts = []
        for file in paths:
            inner = "" if file == path else file.relative_to(path).as_posix()
            name = "/".join(filter(None, (artifact_name, inner))) or file.name
            chosen = category or category_of(file)
            if chosen in settings.artifact_categories:
                receipts.append(await self._upload(test_run_id, file, name, chosen))
            else:
                receipts.append(skipped(channel, f"artifact_categories leaves out {chosen}"))
        return worst_of(receipts)

    async def _upload(self, run_id: str, path: Path, name: str, category: str) -> Receipt:
        from ci_bridge.channels import staged_receipt, upload

        name = self._masker.clean(name)
        artifact = Artifact("", name, run_id, category, compressed=self.settings.artifact_compression)
        if not isinstance(self._adapter, SupportsUpload):
            return staged_receipt(self._adapter, "artifacts", str(path))
        receipt = await upload(self._workplace(), path, artifact, channel="artifacts", share=1.0)
        if receipt and run_id in self._runs:
            self._runs[run_id].artifacts.append(replace(artifact, url=receipt.url))
        return receipt

    async def list_artifacts(
        self, test_run_id: str | None = None, *, name: str | None = None, category: str | None = None
    ) -> list[Artifact]:
        """Kept files, newest first.

        Raises:
            PlatformError: The store does not answer.
        """
        adapter = self._adapter
        if not isinstance(adapter, SupportsDownload):
            return []
        query = ArtifactQuery(test_run_id, name, category)
        return list(await self._worker.run(lambda: adapter.list_artifacts(query)))

    async def download_artifact(
        self, test_run_id: str | None, artifact_name: str, output_path: str | os.PathLike[str]
    ) -> Receipt:
        """Fetch the newest kept file of this name; what was compressed on the way in is unpacked.

        Args:
            test_run_id: The run it belongs to, None for any.
            artifact_name: As given to :meth:`upload_artifact`.
            output_path: Written as a whole or not at all.
        """
        from ci_bridge.channels import staging_area

        adapter = self._adapter
        if not isinstance(adapter, SupportsDownload):
            return Receipt(False, "", None, "this platform's files cannot be fetched", "artifacts", "unsupported")
        target = self._workspace / output_path

        def send() -> str | None:
            found = adapter.list_artifacts(ArtifactQuery(test_run_id, artifact_name))
            if not found:
                near = nearest(artifact_name, [one.name for one in adapter.list_artifacts(ArtifactQuery(test_run_id))])
                where = f" in run {test_run_id}" if test_run_id else ""
                raise PlatformError(
                    f"no artifact {artifact_name!r}{where}" + (f"; did you mean {near!r}?" if near else "")
                )
            with staging_area(self._directory) as area:
                adapter.download_artifact(found[0], area / "file")
                unpack(area / "file", target, compressed=found[0].compressed)
            return str(target)

        return await self._courier().send("artifacts", [Rung("artifact", send)])

    # Pull requests, statuses, summaries

    async def add_pr_comment(self, pr_number: str | int, comment: str, *, key: str = "comment") -> Receipt:
        """Comment on a pull request; the next call with the same key updates that comment.

        Args:
            pr_number: The number that URLs use.
            comment: Markdown; a line that a code host would execute (``/merge``) is refused.
            key: Tells our comments from each other; never that of the report.
        """
        from ci_bridge.report.escape import refuse_commands, with_marker

        if not self.settings.enable_pr_comments:
            return skipped("comment", "enable_pr_comments = false")
        number = number_of(pr_number)
        if not number:
            raise ConfigError("pr_number is empty", hint="give the number that the pull request's URL ends in")
        refuse_commands(comment)
        full_key = f"api:{key}" if self.settings.pr_update_existing_comments else f"api:{key}:{uuid7(self._clock())}"
        comment = self._masker.clean(comment)
        body = with_marker(comment, full_key)
        host, adapter = self._host, self._adapter
        rungs = []
        if isinstance(host, SupportsComments):

            def send() -> str | None:
                text = body if len(body) <= host.max_comment_size else body[: host.max_comment_size - 20] + "\n\n[cut]"
                stored = upsert_comment(host, number, text, full_key)
                return stored.url if stored else None

            rungs.append(Rung("comment", send))
        if isinstance(adapter, SupportsSummary):
            rungs.append(Rung("summary", lambda: adapter.write_summary(comment)))
        rungs.append(self._place.log_rung(comment))
        return await self._courier().send("comment", rungs)

    async def set_status(
        self, commit_sha: str, state: str, context: str, description: str = "", target_url: str | None = None
    ) -> Receipt:
        """Set a status on a commit; it replaces the one with the same context.

        Args:
            commit_sha: 6 to 64 hexadecimal digits.
            state: ``pending``, ``success``, ``failure`` or ``error``.
            context: Name of the status.
            description: One line; cut at 140 characters.
            target_url: Where a click leads.

        Raises:
            ConfigError: The commit or the state is none.
        """
        sha = sha_of(commit_sha)
        if not sha:
            raise ConfigError("commit_sha is empty", hint="give the commit's hexadecimal id")
        try:
            wanted = StatusState(state)
        except ValueError:
            allowed = ", ".join(StatusState)
            raise ConfigError(f"state {state!r} is not a commit status", hint=f"allowed: {allowed}") from None
        text = " ".join(self._masker.clean(description).split())[:140]
        context, url = self._masker.clean(context), target_url and self._masker.clean(target_url)
        status = CommitStatus(sha, wanted, context, text, url)
        host = self._host
        rungs = []
        if isinstance(host, SupportsStatus):
            rungs.append(Rung("status", lambda: host.set_status(status)))
        rungs.append(self._place.log_rung(f"{context}: {state} - {text}"))
        return await self._courier().send("status", rungs)

    async def write_summary(self, markdown: str) -> Receipt:
        """Show Markdown on the build's own page."""
        adapter = self._adapter
        text = self._masker.clean(markdown)
        rungs = []
        if isinstance(adapter, SupportsSummary):
            rungs.append(Rung("summary", lambda: adapter.write_summary(text)))
        rungs.append(self._place.log_rung(text))
        return await self._courier().send("summary", rungs)

    # The main job

    async def preflight(self, results: Sequence[str] = ()) -> None:
        """Find out what would stop a report, before a long test run, say; :meth:`report` does it by itself.

        Args:
            results: As for :meth:`report`.

        Raises:
            ConfigError: Nothing was sent.
        """
        from ci_bridge.reporting import preflight

        await self._worker.run(lambda: preflight(self._place, results))

    async def report(
        self,
        results: Sequence[str] = (),
        *,
        test_run_id: str | None = None,
        on_progress: Callable[[int, int], None] | None = None,
        ending: str = "",
        remarks: Sequence[str] = (),
    ) -> ReportOutcome:
        """Read result files, judge them, write the reports, deliver them, remember.

        Args:
            results: Globs, files or folders; by default the option ``results``.
            test_run_id: A run of :meth:`create_test_run` that these results complete, by default a new one.
            on_progress: Called from the worker thread with bytes read and bytes in all.
            ending: How the command ended that wrote them, in words; empty if it succeeded, or if that is not known.
                Where it failed and no test tells why, the report is an error and says so.
            remarks: On the results as a whole.

        Raises:
            ConfigError: Nothing was sent.
        """
        from ci_bridge.reporting import run_report

        await self.preflight(results)
        live = self._runs.get(test_run_id or "")
        was_begun = live is not None
        if live is None:
            if not test_run_id:
                test_run_id = await self._worker.run(lambda: self._mark().begin(self._clock()))
            live = self._runs[test_run_id] = LiveRun(self._place.new_run(test_run_id))
        self._current = live.run.id
        await self._memory.save()  # numbers recorded so far are part of the report
        outcome = await run_report(
            self._workplace(), live.run, results, on_progress=on_progress, ending=ending, remarks=remarks
        )
        outcome = replace(outcome, warnings=(*self.loaded.warnings, *outcome.warnings))
        live.run = outcome.report.run
        self._memory.forget_run(live.run.id)
        if was_begun and not outcome.report.results.totals.total:  # it must not seem to go on for ever
            live.run = replace(live.run, status="error")
            self._memory.keep_run(live.run)
        if await self._worker.run(lambda: self._mark().finish(live.run.id)):
            warning = f"this report took the place of an earlier step's of this job, {self._place.run_name!r}"
            outcome = replace(outcome, warnings=(*outcome.warnings, f"{warning}: give each a comment_title of its own"))
        await self._memory.save()
        return outcome

    # Pull requests from forks

    async def collect(
        self,
        results: Sequence[str] = (),
        into: str | os.PathLike[str] | None = None,
        *,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Collection:
        """Read result files and store them for a build that may publish them; nothing is judged or shown.

        Args:
            results: As for :meth:`report`.
            into: Folder for the bundle, by default ``bundle`` in ``artifact_dir``.
            on_progress: As for :meth:`report`.
        """
        from ci_bridge.publishing import collect as collect_results

        await self.preflight(results)
        folder = self._workspace / into if into is not None else None
        return await collect_results(self._workplace(), self._place.new_run(), results, folder, on_progress=on_progress)

    async def publish(self, bundles: Sequence[str | os.PathLike[str]] = ()) -> ReportOutcome:
        """Judge and deliver what the build that triggered this one collected.

        Args:
            bundles: Files or folders that a step before has downloaded; by default the platform's store is asked.

        Raises:
            ConfigError: Nothing was sent.
            ResultsError: Nothing was sent: there is no bundle of this report. One that cannot be used is shown.
        """
        from ci_bridge.publishing import publish as publish_bundles

        return await publish_bundles(self._workplace(), [self._workspace / path for path in bundles])

    async def flush(self) -> Receipt:
        """Save every run and number that is not in the history yet."""
        problem = await self._memory.save()
        if problem:
            return Receipt(False, "", None, problem, "history", "failed")
        return Receipt(True, "history", str(self._memory.path), "", "history")

    async def current_run_id(self) -> str:
        """The id of this build's test run, for a process that did not create it: a report, a number, a file.

        It lies in ``artifact_dir``; one is made where the build has none yet.
        """
        return await self._worker.run(lambda: self._mark().join(self._clock()))

    def _mark(self) -> RunMark:
        return RunMark.of(self.context, self._directory, self.settings.shard or "", self._place.run_name)

    # State

    def get_ci_status(self) -> dict[str, Any]:
        """Where we run and how the current test run stands; answers at once."""
        context = self.context
        live = self._runs.get(self._current or "")
        run = live.run if live else None
        summary = {"total_tasks": 0, "task_statuses": {}, "duration": 0.0, **(run.summary if run else {})}
        return {
            "ci_system": self.platform.name,
            "repository": context.repository,
            "branch": context.branch,
            "commit_sha": context.commit_sha,
            "build_id": context.build_id,
            "pr_number": context.pr_number,
            "test_run_id": run.id if run else None,
            "test_run_status": run.status if run else None,
            "summary": {key: summary[key] for key in ("total_tasks", "task_statuses", "duration")},
            "artifacts": [artifact.name for artifact in live.artifacts] if live else [],
        }

    def stop(self) -> None:
        """Make a running report end at its next step."""
        self._stopped = True

    async def aclose(self) -> None:
        """Send what was coalesced, save what is not yet remembered, close the adapters."""
        try:
            if not self._stopped:
                for live in self._runs.values():
                    await self._announcer.finish(live)
                await self._memory.save()
            else:
                await self._worker.drain(STOP_SECONDS)
        finally:
            for live in self._runs.values():
                if live.flush is not None:
                    live.flush.cancel()
            self._adapter.close()
            if self._host is not self._adapter:
                self._host.close()
            self._worker.close()

    def _courier(self) -> Courier:
        """A fresh time budget for one call."""
        deadline = Deadline(float(self.settings.deadline_seconds), WaitingClock(self._monotonic))
        patterns = self.platform.log_command_patterns
        return Courier(self._worker, self._policy, deadline, self._notice, patterns=patterns)

    def _workplace(self) -> Workplace:
        """What one call works with; whoever delivers makes the staging folder ours first."""
        claim_folder(self._directory)
        return replace(self._place, courier=self._courier())
