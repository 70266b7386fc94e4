# The image of the container action; also for `docker run` anywhere. Needs no BuildKit.
ARG BASE=debian:13-slim

FROM ${BASE} AS build
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates git python3-venv \
 && dpkg-query --status git > /opt/git.status \
 && python3 -m venv /opt/pip \
 && python3 -m venv --without-pip /opt/ci-bridge
WORKDIR /src
COPY requirements.lock requirements-dev.lock ./
RUN /opt/pip/bin/pip --python /opt/ci-bridge/bin/python \
      install --no-cache-dir --no-compile --only-binary :all: --require-hashes -r requirements.lock \
 && awk '/^[a-z]/ { wanted = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } wanted' \
      requirements-dev.lock > build.lock \
 && /opt/pip/bin/pip install --no-cache-dir --only-binary :all: --require-hashes -r build.lock
COPY LICENSE README.md pyproject.toml ./
COPY templates templates
COPY docs/schemas docs/schemas
COPY ci_bridge ci_bridge
RUN /opt/pip/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheel . \
 && /opt/pip/bin/pip --python /opt/ci-bridge/bin/python install --no-compile --no-deps --no-index /wheel/*.whl \
 && /opt/pip/bin/pip --python /opt/ci-bridge/bin/python uninstall --yes pip pytest iniconfig
WORKDIR /opt/ci-bridge/lib/python3.13/site-packages
# What no command of ours can reach goes: descriptions of other AWS services than S3 and its sign-in, translations, tests,
# an older generation of an API. Bytecode comes: a read-only root, or a user who is not root, could never write it.
RUN find botocore/data -mindepth 1 -maxdepth 1 -type d \
      ! -name s3 ! -name sts ! -name sso ! -name sso-oidc ! -name signin -exec rm -r {} + \
 && rm -r apprise/i18n azure/devops/issue_tests azure/devops/v7_0/*/ jenkinsapi_tests \
 && /opt/ci-bridge/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/ci-bridge/lib

FROM ${BASE}
LABEL org.opencontainers.image.title="ci-bridge" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/ci-bridge/ci-bridge"
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libpcre2-8-0 libpython3-stdlib python3-minimal \
 && apt-get clean && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log /usr/lib/python3.13/test \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /usr/lib/python3.13
# git's one binary knows every command that we give; the package would bring Perl and 110 MB. Scanners read the status.
COPY --from=build /usr/bin/git /usr/bin/git
COPY --from=build /opt/git.status /var/lib/dpkg/status.d/git
COPY --from=build /opt/ci-bridge /opt/ci-bridge
COPY entrypoint/main.py /opt/ci-bridge/entrypoint/main.py
ENV PATH=/opt/ci-bridge/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# No USER: a container action must run as root to write the runner's files. `docker run --user` works too.
ENTRYPOINT ["/opt/ci-bridge/bin/python", "-I", "/opt/ci-bridge/entrypoint/main.py"]
