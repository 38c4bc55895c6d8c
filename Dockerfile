# The image: one static program on busybox, with the scripts, names and directories that images of Apache Kafka and of
# Confluent have, so that what starts those starts this one. Nothing in it needs a JVM.
#
#   docker build -t once .
#   docker run -p 9092:9092 once
#
# Build arguments: VERSION; REVISION, the commit; TARGETARCH (amd64 or arm64, with --platform linux/…); BINARY, the path of
# a program that was built outside, as `make image` gives it. Any builder since Docker 20.10 takes this file.
# BASE is busybox of another architecture, where the builder would not choose it by --platform.
ARG BASE=busybox:1.37-musl
FROM golang:1.26 AS build
ARG VERSION=
ARG BINARY=
ARG TARGETARCH=
WORKDIR /src
COPY . .
RUN mkdir -p /out/usr/local/bin && \
    if [ -n "$BINARY" ]; then cp "$BINARY" /out/usr/local/bin/broker; else \
    CGO_ENABLED=0 GOOS=linux GOARCH=$TARGETARCH go build -trimpath -ldflags="-s -w -X main.version=$VERSION" -o /out/usr/local/bin/broker ./cmd/broker; fi && \
    sh image/layout.sh /out

FROM $BASE
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="Once" \
      org.opencontainers.image.description="A Kafka-compatible broker in one small program" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.base.name="docker.io/library/busybox:1.37-musl"
COPY --from=build --chown=1000:1000 /out/ /
ENV PATH=/usr/local/sbin:/usr/local/bin:/opt/kafka/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/home/appuser COMPONENT=kafka LANG=C.UTF-8 ONCE_IMAGE=true ONCE_ADMIN=0.0.0.0:9644
# User and group 1000, and the group root by /etc/group: Strimzi's test container writes a script that only root's group may run.
USER 1000
WORKDIR /home/appuser
# No volume at /var/lib/kafka/data: it would lie over one that is mounted at /data, which links there.
VOLUME ["/etc/kafka/secrets", "/mnt/shared/config"]
EXPOSE 9092
ENTRYPOINT ["entrypoint"]
