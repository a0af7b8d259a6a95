# The key server.  Build: docker build -t gcks .
# Run:   docker run --network host -v /etc/gcks:/etc/gcks:ro -v gcks:/var/lib/gcks gcks
# Multicast and several ports of one address want the host's network.
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md ./
COPY gcks gcks
RUN python -m venv /opt/gcks && /opt/gcks/bin/pip install --no-cache-dir .

FROM python:3.13-slim
RUN useradd --system --uid 848 gcks && install -d -o gcks -m 0700 /var/lib/gcks
COPY --from=build /opt/gcks /opt/gcks
ENV PATH=/opt/gcks/bin:$PATH PYTHONUNBUFFERED=1
USER gcks
VOLUME /var/lib/gcks
EXPOSE 500/udp 848/udp 4500/udp
ENTRYPOINT ["gcks"]
CMD ["serve", "/etc/gcks/gcks.yaml"]
