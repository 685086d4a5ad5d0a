# Python with the packages of uv.lock, compiled. The application's own image stands on it, and changes more often.
ARG BASE
FROM ${BASE}
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends python3-minimal python3-venv procps \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv --without-pip /opt/venv
COPY site /opt/venv/lib/python3.11/site-packages
RUN /opt/venv/bin/python -m compileall -q -j 0 /opt/venv/lib || true
