# The image of the container action; also for `docker run` anywhere. Needs no BuildKit.
ARG BASE=debian:13-slim

FROM ${BASE} AS build
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3-venv \
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
# A container with a read-only root, or another user than root, can never write bytecode: ship it.
RUN /opt/pip/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheel . \
 && /opt/pip/bin/pip --python /opt/ci-bridge/bin/python install --no-compile --no-deps --no-index /wheel/*.whl \
 && /opt/pip/bin/pip --python /opt/ci-bridge/bin/python uninstall --yes pip pytest iniconfig \
 && /opt/ci-bridge/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/ci-bridge/lib

FROM ${BASE}
LABEL org.opencontainers.image.title="ci-bridge" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/ci-bridge/ci-bridge"
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates git libpython3-stdlib python3-minimal \
 && apt-get clean && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /usr/lib/python3.13
COPY --from=build /opt/ci-bridge /opt/ci-bridge
COPY entrypoint/main.py /opt/ci-bridge/entrypoint/main.py
ENV PATH=/opt/ci-bridge/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# No USER: a container action must run as root to write the runner's files. `docker run --user` works too.
ENTRYPOINT ["/opt/ci-bridge/bin/python", "-I", "/opt/ci-bridge/entrypoint/main.py"]
