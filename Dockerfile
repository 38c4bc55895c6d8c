# The image holds one static program and nothing else. It runs as an unprivileged user and keeps its data
# in the volume /data. Every setting can be given as KAFKA_SOME_NAME, and flags after the image's name:
#
#   docker run -p 9092:9092 -v once-data:/data once --durability fsync
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w -X main.version=$VERSION" -o /out/broker ./cmd/broker
# /tmp is for --ephemeral.
RUN mkdir -p /out/dirs/data /out/dirs/tmp

FROM scratch
COPY --from=build /out/broker /broker
COPY --from=build --chown=65532:65532 /out/dirs/ /
USER 65532:65532
# As settings and not as arguments: -e wins over them, and arguments add to them.
ENV KAFKA_LISTENERS=PLAINTEXT://0.0.0.0:9092 KAFKA_LOG_DIRS=/data
VOLUME /data
EXPOSE 9092
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 CMD ["/broker", "health"]
ENTRYPOINT ["/broker"]
