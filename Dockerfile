FROM python:3.13-slim

RUN useradd --system --uid 10001 --home-dir /var/lib/hushtap --create-home hushtap
COPY . /src
RUN pip install --no-cache-dir /src && rm -rf /src

USER hushtap
WORKDIR /var/lib/hushtap
VOLUME /var/lib/hushtap

# SIP, RTP, metrics, API. Media ports are many: run with --network host, or publish the range that is configured.
EXPOSE 5060/udp 5060/tcp 5061/tcp 20000-29999/udp 9470/tcp 9480/tcp

HEALTHCHECK --interval=30s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9470/metrics', timeout=2)"]

# Mount a configuration at /etc/hushtap.toml and set HUSHTAP_CONFIG to it; without one the defaults listen on loopback.
ENTRYPOINT ["hushtap"]
CMD ["serve"]
