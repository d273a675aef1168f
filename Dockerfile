# Stock Caddy with this plugin. Build from a checkout:
#   docker build -t caddy-gemini-balance .
#   docker run -p 8080:8080 -v gemini-balance:/data -e GEMINI_API_KEY caddy-gemini-balance
# The web UI is at http://localhost:8080/admin/ui/; the set-up token for it is in the container's log.
FROM caddy:2.11-builder AS build
COPY . /src
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    xcaddy build --output /usr/bin/caddy --with github.com/gemini-balance/caddy-gemini-balance=/src

FROM caddy:2.11
COPY --from=build /usr/bin/caddy /usr/bin/caddy
COPY Caddyfile.example /etc/caddy/Caddyfile
# The store, the master key and the admin key are below Caddy's data folder.
VOLUME /data
HEALTHCHECK --interval=30s --timeout=3s CMD wget -q -O /dev/null http://127.0.0.1:8080/health || exit 1
