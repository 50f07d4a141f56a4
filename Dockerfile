# Shoal's server with the library and the demo in it; docs/operations.md says more.
#
#   docker build -t shoal-server .
#   docker run -p 8080:8080 -e SHOAL_AUTH_KEY="$(openssl rand -base64 48)" shoal-server
#
# Without keys, for everybody: -e SHOAL_OPEN=true

FROM node:22-bookworm-slim AS node

# Builds the library for browsers, with Go and Node.js, and the server around it.
FROM golang:1.26-bookworm AS build
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=node /usr/local/lib/node_modules /usr/local/lib/node_modules
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
WORKDIR /src
# What is downloaded changes less often than the rest.
COPY go.mod go.sum ./
RUN go mod download
COPY web/package.json web/package-lock.json web/
RUN npm --prefix web ci --no-audit --no-fund
COPY . .
ENV CGO_ENABLED=0
# The version is that of the commit, which a worktree or an archive does not bring along.
RUN git rev-parse --quiet --verify HEAD > /dev/null || export GOFLAGS=-buildvcs=false; make build

# Nothing but the program.
FROM scratch
COPY --from=build /src/bin/shoal-server /shoal-server
# 8080: pages and signaling. 3478 and 5349: TURN, where SHOAL_TURN=true. 9090: metrics and health.
EXPOSE 8080 3478/tcp 3478/udp 5349/tcp 9090
ENV SHOAL_LISTEN=:8080 SHOAL_METRICS=:9090 SHOAL_LOG_FORMAT=json
USER 65532:65532
ENTRYPOINT ["/shoal-server"]
