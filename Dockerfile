# The key server.  Build: docker build -t gcks .
# Run:   docker run --network host -v /etc/gcks:/etc/gcks:ro -v gcks:/var/lib/gcks -v gcks-log:/var/log/gcks gcks
# Check: docker run --rm -v /etc/gcks:/etc/gcks:ro gcks check /etc/gcks/gcks.yaml
#
# Multicast and several ports of one address want the host's network.  The files in /etc/gcks must
# be readable by uid 848, secrets by nobody else (chown 848, chmod 600); ${CREDENTIALS_DIRECTORY} is
# that directory, so the example serves as it is.  Reload: docker kill -s HUP.
FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv --without-pip /opt/gcks
COPY pyproject.toml README.md LICENSE ./
COPY gcks gcks
COPY config config
COPY systemd systemd
COPY docs/man docs/man
RUN python -m pip --python /opt/gcks/bin/python install --no-cache-dir .

FROM python:3.13-slim
LABEL org.opencontainers.image.title="gcks" org.opencontainers.image.licenses="Apache-2.0"
# On the host's network ports 500 and 848 are privileged, and a capability of the container
# (--cap-add) doesn't reach a user other than root: the interpreter has to carry it.
RUN apt-get update && apt-get install -y --no-install-recommends libcap2-bin \
    && setcap cap_net_bind_service=+ep "$(readlink -f /usr/local/bin/python3)" \
    && apt-get purge -y --auto-remove libcap2-bin && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 848 --no-create-home gcks \
    && install -d -o gcks -g gcks -m 0700 /var/lib/gcks /var/log/gcks /run/gcks
COPY --from=build /opt/gcks /opt/gcks
ENV PATH=/opt/gcks/bin:$PATH PYTHONUNBUFFERED=1 CREDENTIALS_DIRECTORY=/etc/gcks
USER gcks
VOLUME /var/lib/gcks /var/log/gcks
# Whether the event loop answers.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["gcks", "show", "server", "--json"]
EXPOSE 500/udp 848/udp 4500/udp 4500/tcp 9848/tcp
ENTRYPOINT ["gcks"]
CMD ["serve", "/etc/gcks/gcks.yaml"]
