"""The command line: parse, make one client call, print.

Verdicts and warnings are for people and go to stderr; tables and JSON are data and go to stdout.
"""

from __future__ import annotations

import click

from ci_bridge.cli import deliveries, jobs, looking, records
from ci_bridge.cli.program import Program, directory, version


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@version
@directory
def main() -> None:
    """Bring test results home to whichever CI system runs the job.

    \b
    Example:
      ci-bridge report 'reports/**/*.xml'
    """


for _command in (
    jobs.report,
    jobs.run,
    jobs.collect,
    jobs.publish,
    looking.detect,
    looking.config,
    looking.doctor,
    looking.init,
    deliveries.comment,
    deliveries.status,
    deliveries.summary,
    deliveries.artifact,
    records.history,
    records.metric,
):
    main.add_command(_command)
