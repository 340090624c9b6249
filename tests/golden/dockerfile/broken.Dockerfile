FROM busybox AS one
Maintainer x
RUN --mont=type=cache,target=/c \
    make
