# The gateway and what it needs to run, nothing else: no shell, no package manager, no root.
ARG RUST=1.95

FROM rust:${RUST}-bookworm AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    rustup component add llvm-tools \
    && deploy/build \
    && install -D -m 755 target/shipped/keyproof /image/usr/local/bin/keyproof
# The libraries that the binary names, the roots that issuers' certificates are verified with, and places to mount things at.
RUN ldd /image/usr/local/bin/keyproof | grep -o '/[^ ]*' | xargs cp --dereference --parents --target-directory=/image \
    && cp --dereference --parents --target-directory=/image /etc/ssl/certs/ca-certificates.crt \
    && mkdir -p /image/etc/keyproof /state

FROM scratch
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="keyproof" \
      org.opencontainers.image.description="The gateway that makes a stolen access token useless: DPoP (RFC 9449) in front of any API" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /image /
# Where a journal of used proofs may be kept.
COPY --from=build --chown=65532:65532 /state /var/lib/keyproof
USER 65532:65532
ENV KEYPROOF_CONFIG=/etc/keyproof/keyproof.yaml
EXPOSE 8443 9901
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["/usr/local/bin/keyproof", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/keyproof"]
CMD ["serve", "--config", "/etc/keyproof/keyproof.yaml"]
