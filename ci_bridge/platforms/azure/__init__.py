"""Azure Pipelines, in the cloud and on Azure DevOps Server.

Facts: Microsoft's documentation "Use predefined variables".
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from ci_bridge.models import BuildContext
from ci_bridge.platforms._read import (
    Fact,
    Flag,
    Text,
    Variables,
    build_context,
    host_of,
    is_on,
    joined,
    number_of,
    pull_number,
    short_branch,
    short_tag,
    via,
    web_url,
    without_slash,
)
from ci_bridge.protocols import Environment, Platform

# What `env:` in a pipeline hands over for a variable that does not exist: the expression itself.
_UNEXPANDED = re.compile(r"\$\([A-Za-z_][\w.-]*\)")
_OWN_REPOSITORIES = "tfsgit"


def detect(env: Environment) -> bool:
    """True where the agent has set ``TF_BUILD=True``."""
    return is_on(env, "TF_BUILD")


def read_context(env: Environment) -> BuildContext:
    """The build, from the variables."""
    var = Variables(env, _UNEXPANDED.fullmatch)
    ref, collection = var("BUILD_SOURCEBRANCH"), _collection(var)
    number = _pull_number(var)
    is_pull = number or var("SYSTEM_PULLREQUEST_PULLREQUESTID")
    project = via(var("SYSTEM_TEAMPROJECT", "SYSTEM_TEAMPROJECTID"), lambda name: quote(name, safe=""))
    build_url = joined("{}/{}/_build/results?buildId={}", collection, project, var("BUILD_BUILDID"))
    return build_context(
        "azure",
        repository=_repository(var),
        repository_url=var("BUILD_REPOSITORY_URI"),
        commit_sha=var("BUILD_SOURCEVERSION"),
        # BUILD_SOURCEBRANCHNAME is only the last part of the ref: "x" of refs/heads/feature/x.
        branch=via(var("SYSTEM_PULLREQUEST_SOURCEBRANCH") if is_pull else ref, short_branch),
        tag=via(ref, short_tag),
        pr_number=number,
        pr_base_branch=via(
            var("SYSTEM_PULLREQUEST_TARGETBRANCH", "SYSTEM_PULLREQUEST_TARGETBRANCHNAME") if is_pull else None,
            short_branch,
        ),
        pr_head_sha=var("SYSTEM_PULLREQUEST_SOURCECOMMITID") if is_pull else None,
        build_id=var("BUILD_BUILDID"),
        build_number=var("BUILD_BUILDNUMBER"),
        build_url=build_url,
        job_id=var("SYSTEM_JOBID"),
        job_name=var("SYSTEM_JOBDISPLAYNAME", "SYSTEM_JOBNAME"),
        job_url=joined("{}&view=logs&j={}", build_url, var("SYSTEM_JOBID")),
        pipeline_name=var("BUILD_DEFINITIONNAME"),
        actor=var("BUILD_REQUESTEDFOR"),
        server_url=var("SYSTEM_COLLECTIONURI", "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI"),
        is_fork=_is_fork(var) if is_pull else None,
        event=var("BUILD_REASON"),
        attempt=var("SYSTEM_JOBATTEMPT"),
        workspace=var("BUILD_SOURCESDIRECTORY"),
    )


def _collection(var: Variables) -> Text:
    """The address of organisation or collection; SYSTEM_TEAMFOUNDATIONSERVERURI lacks the latter on premises."""
    return without_slash(var("SYSTEM_COLLECTIONURI", "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI"))


def _pull_number(var: Variables) -> Text:
    """The number that people see. For repositories elsewhere, PULLREQUESTID is a number of Azure's own."""
    provider, identifier = var("BUILD_REPOSITORY_PROVIDER"), via(var("SYSTEM_PULLREQUEST_PULLREQUESTID"), number_of)
    number = via(var("SYSTEM_PULLREQUEST_PULLREQUESTNUMBER"), number_of)
    if not number and provider and provider.value.lower() == _OWN_REPOSITORIES:
        number = identifier
    return number or via(var("BUILD_SOURCEBRANCH"), pull_number) or (None if provider else identifier)


def _repository(var: Variables) -> Text:
    """``owner/name``; for Azure Repos, whose name is the repository's alone, ``project/name``."""
    name, provider, address = (
        var("BUILD_REPOSITORY_NAME"),
        var("BUILD_REPOSITORY_PROVIDER"),
        var("BUILD_REPOSITORY_URI"),
    )
    own = provider.value.lower() == _OWN_REPOSITORIES if provider else bool(address and "/_git/" in address.value)
    return joined("{}/{}", _project(var), name) if own else name


def _project(var: Variables) -> Text:
    """The project that the repository lives in; a pipeline can build a repository of another project."""
    collection, address = _collection(var), var("BUILD_REPOSITORY_URI")
    if collection and address and "/_git/" in address.value:
        root, _, project = address.value.partition("/_git/")[0].rpartition("/")
        if web_url(root) == web_url(collection.value):
            return Fact(unquote(project), address.origin)
    return var("SYSTEM_TEAMPROJECT")


def _is_fork(var: Variables) -> Flag:
    fork = var("SYSTEM_PULLREQUEST_ISFORK")
    return Fact(fork.value.lower() == "true", fork.origin) if fork else None


def owns_url(url: str) -> bool:
    """True for Azure DevOps Services. An Azure DevOps Server can have any name."""
    host = host_of(url)
    return host in ("dev.azure.com", "ssh.dev.azure.com") or host.endswith(".visualstudio.com")


platform = Platform(
    name="azure",
    title="Azure Pipelines",
    priority=30,
    token_variables=("SYSTEM_ACCESSTOKEN", "AZURE_DEVOPS_EXT_PAT"),
    # The agent looks for both anywhere in a line.
    log_command_patterns=(r"(?i:##vso\[)", r"##\["),
    detect=detect,
    read_context=read_context,
    # Not BuildCompletion and ResourceTrigger: the other build may have been a pull request's.
    trusted_events=("IndividualCI", "BatchedCI", "Schedule", "Manual"),
    owns_url=owns_url,
)
