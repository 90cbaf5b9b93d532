# Build: docker build -t cohort .                      the service, without torch
#        docker build -t cohort-training --target training .   the worker, which also trains
#        docker build -t cohort-gpu --target gpu .             the service on an NVIDIA GPU
# Run alone, with the Postgres that is inside the image, on the volume /data:
#   docker run --rm -p 127.0.0.1:8000:8000 -v cohort-data:/data cohort
# With all that belongs to it: see docker-compose.yml and deploy/kubernetes.
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

# The index that torch comes from decides which build of it is taken, and the lock can't have a hash for
# each: without this argument it is the one with CUDA, several gigabytes large.
FROM builder AS training-builder
ARG PIP_EXTRA_INDEX_URL=
COPY requirements/worker.txt requirements/worker.txt
RUN /opt/cohort/bin/pip install --only-binary=:all: --requirement requirements/worker.txt

# The two builds of ONNX Runtime overwrite each other's files, so the one for CPUs goes first.
FROM builder AS gpu-builder
ARG ONNXRUNTIME_GPU=1.31.1
RUN /opt/cohort/bin/pip uninstall --yes onnxruntime
RUN /opt/cohort/bin/pip install --only-binary=:all: "onnxruntime-gpu[cuda,cudnn]==${ONNXRUNTIME_GPU}"

FROM ${PYTHON_IMAGE} AS runtime
# Postgres asks for the name of whom it runs as, so the number below has to have one.
RUN groupadd --gid 10001 cohort \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin cohort \
    && install -d -o 10001 -g 10001 -m 0700 /data /bundles
ENV PATH=/opt/cohort/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1 \
    HOME=/data \
    COHORT_DATA_DIR=/data
WORKDIR /data
# A number, so that an orchestrator can see that it is not root.
USER 10001:10001
# The root file system may be read-only: only /data and /tmp are written to, and /bundles where that is the store.
VOLUME ["/data"]
ENTRYPOINT ["cohort"]

FROM runtime AS training
COPY --from=training-builder /opt/cohort /opt/cohort
# It listens to nobody, but touches a file every five seconds while it lives (app/jobs/alive.py).
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, sys, time; sys.exit(time.time() - os.stat('/data/worker.alive').st_mtime > 30)"]
CMD ["worker"]

FROM runtime AS gpu
COPY --from=gpu-builder /opt/cohort /opt/cohort
ENV COHORT_PROVIDER=cuda \
    LD_LIBRARY_PATH=/opt/cohort/lib/python3.11/site-packages/nvidia/cu13/lib:/opt/cohort/lib/python3.11/site-packages/nvidia/cudnn/lib
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]

FROM runtime AS service
COPY --from=builder /opt/cohort /opt/cohort
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
