# The service without torch. Build: docker build -t cohort .
# Run alone, with the Postgres that is inside the image, on the volume /data:
#   docker run --rm -p 127.0.0.1:8000:8000 -v cohort-data:/data cohort
# With a database server of its own: see docker-compose.yml.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
# Wheels of the locked set first: this layer is made anew only when the lock changes.
COPY requirements/serve.txt requirements/serve.txt
RUN python -m pip wheel --only-binary=:all: --require-hashes --requirement requirements/serve.txt --wheel-dir /wheels
COPY LICENSE README.md pyproject.toml ./
COPY app app
COPY migrations migrations
COPY models models
COPY training training
COPY vault vault
RUN python -m pip wheel --no-deps --wheel-dir /wheels .
# No index any more: what is installed is what was checked above.
RUN python -m venv /opt/cohort && /opt/cohort/bin/pip install --no-index --no-deps /wheels/*.whl

FROM ${PYTHON_IMAGE}
COPY --from=builder /opt/cohort /opt/cohort
# Postgres asks for the name of whom it runs as, so the number below has to have one.
RUN groupadd --gid 10001 cohort \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin cohort \
    && install -d -o 10001 -g 10001 -m 0700 /data
ENV PATH=/opt/cohort/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1 \
    HOME=/data \
    COHORT_DATA_DIR=/data
WORKDIR /data
# A number, so that an orchestrator can see that it is not root.
USER 10001:10001
# The root file system may be read-only: only /data and /tmp are written to.
VOLUME ["/data"]
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["cohort"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
