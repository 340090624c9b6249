# syntax=docker/dockerfile:1
FROM busybox AS base
RUN <<EOF
echo a > /h
echo b >> /h
EOF
COPY <<"EOF" <<-B /lit/
$HOME stays
EOF
	tab $HOME
	B
RUN --mount=type=cache,target=/root/.cache \
    # a comment inside
    --network=none python3 <<PY && echo <<X
print(1)
PY
more
X
ONBUILD ADD <<E /e
e
E
