# Playhouse in a container: built in one stage, run in another by an account without rights.
#
#   docker build -t playhouse .
#   docker run -d --name playhouse -p 127.0.0.1:54321:54321 -v playhouse:/data playhouse
#   docker logs playhouse            # the code for the first administrator stands there

# The version of rust-toolchain.toml, on the Debian that the second stage has too.
FROM rust:1.95-bookworm AS build
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends g++ cmake nasm \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# What one build compiled serves the next; the program is copied out, because the cache is no part of the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --profile dist --locked --bin playhouse && cp target/dist/playhouse /playhouse

FROM debian:bookworm-slim
# Certificates for remote servers, curl for the health check, pip for the small chat model of the first start.
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates curl python3-pip \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin playhouse \
    && install -d -o playhouse -g playhouse -m 0700 /data
COPY --from=build /playhouse /usr/local/bin/playhouse
USER 10001:10001
WORKDIR /data
VOLUME /data
ENV PLAYHOUSE_DATA=/data PLAYHOUSE_LISTEN=0.0.0.0:54321
EXPOSE 54321
# It stops on SIGTERM within 30 s: `docker stop --time 30`.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["curl", "--fail", "--silent", "--output", "/dev/null", "http://127.0.0.1:54321/ready"]
ENTRYPOINT ["playhouse"]
CMD ["serve"]
