# The server with its built-in voice, which speaks without any network.
#   docker build -t phonogram .
#   docker run -p 127.0.0.1:8000:8000 -v phonogram-data:/app/data phonogram
# For NVIDIA cards (driver 580 or newer; cu126 for older ones):
#   docker build -t phonogram:cuda --build-arg TORCH=cu130 .
#   docker run --gpus all -p 127.0.0.1:8000:8000 -v phonogram-data:/app/data phonogram:cuda
# Open it to a network with `-p 8000:8000 -e API_KEY=...`; docs/security.md says what else to mind.
FROM python:3.12-slim

# The wheels of torch to take: cpu, or those of a CUDA version. They bring CUDA's libraries along.
ARG TORCH=cpu
# More of pyproject.toml's extras, with commas, such as gpu or cluster.
ARG EXTRAS=gpu

# The server needs no right to change its own program: it writes to /app/data and its cache alone.
RUN useradd --create-home --uid 10001 phonogram \
    && mkdir -p /app/data \
    && chown phonogram /app/data
WORKDIR /app

# First what seldom changes, so that a new version of the program does not fetch gigabytes again.
COPY pyproject.toml README.md LICENSE ./
COPY backend/__init__.py backend/__init__.py
RUN pip install --no-cache-dir torch==2.13.0 --index-url "https://download.pytorch.org/whl/${TORCH}" \
    && pip install --no-cache-dir --editable ".[${EXTRAS}]"
COPY backend backend
COPY ui ui
COPY checkpoints checkpoints

ENV HOST=0.0.0.0 PORT=8000 PYTHONUNBUFFERED=1 OMP_WAIT_POLICY=PASSIVE
USER phonogram
VOLUME /app/data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as web; web.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health', timeout=4)"]
STOPSIGNAL SIGTERM
CMD ["phonogram", "serve"]
