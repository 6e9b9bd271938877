# One image for every consumer and command: `docker build -t testbus .`, then `docker run testbus worker gates`.

FROM python:3.13-slim AS build
WORKDIR /src
# Nothing is fetched that is not locked: the backend that builds has an environment of its own, and stays behind.
ARG LOCKED="--no-cache-dir --no-deps --require-hashes --only-binary :all:"
RUN python -m venv /opt/build && python -m venv /opt/testbus
COPY requirements/build.txt requirements/build.txt
RUN /opt/build/bin/pip install $LOCKED -r requirements/build.txt
# The dependencies before the code: they change less often.
COPY requirements/runtime.txt requirements/runtime.txt
RUN /opt/testbus/bin/pip install $LOCKED -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY broker broker
COPY producers producers
COPY consumers consumers
COPY sandbox sandbox
COPY cli cli
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /dist . \
    && /opt/testbus/bin/pip install --no-cache-dir --no-deps /dist/*.whl

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin testbus
COPY --from=build /opt/testbus /opt/testbus
ENV PATH=/opt/testbus/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001
WORKDIR /tmp
ENTRYPOINT ["testbus"]
CMD ["--help"]
