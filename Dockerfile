# The image: one static binary, nothing else, and no privileges. `make image` puts together what is copied here and builds it.
#
#   docker run -d -p 80:80 -p 443:443 -v ./gateway:/etc/wicketgate:ro -v wicketgate:/var/lib/wicketgate wicketgate
#
# Another command, or other flags of run: docker run wicketgate run --config /etc/wicketgate --strict
FROM scratch
COPY --chown=65532:65532 . /
USER 65532:65532
# What must outlive the container: the last good version of files that are broken, certificates. A named volume keeps it.
ENV STATE_DIRECTORY=/var/lib/wicketgate
EXPOSE 80 443
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/wicketgate", "health"]
ENTRYPOINT ["/wicketgate"]
CMD ["run", "--config", "/etc/wicketgate"]
