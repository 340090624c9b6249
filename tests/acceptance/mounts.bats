# RUN --mount, --network, --security: what steps see and what stays of it. Names in brackets are BuildKit's tests.
load lib

# in_step FLAGS COMMAND: a build of one RUN on busybox, its output and errors in $output.
in_step() { printf 'FROM busybox\nRUN %s %s\n' "$1" "$2" >Dockerfile; run build_plain --no-cache -t acc/step .; }

@test "bind from the context: read-only, in place, without what .dockerignore leaves out [MountContext, MountDuplicate]" {
  mkdir -p src/d; echo a >src/a; echo b >src/d/b; echo hidden >src/secret; ln -s d src/link
  in_step '--mount=target=/c' 'cat /c/src/a /c/src/link/b /c/src/secret; touch /c/x || touch /c/src/d/x || echo refused'
  [ "$status" -eq 0 ]; [[ "$output" == *hidden* && "$output" == *refused* ]]; [ ! -e src/d/x ]
  in_step '--mount=target=/c' 'stat -c inode=%i /c/src/a'; [[ "$output" == *"inode=$(stat -c %i src/a)"* ]]
  echo src/secret >.dockerignore
  in_step '--mount=target=/c --mount=source=src/a,target=/one/file' 'ls /c/src | tr "\n" " "; cat /one/file; cat /c/src/d/b; stat -c %u:%g /c/src'
  [ "$status" -eq 0 ]; [[ "$output" == *'a d link '* && "$output" != *secret* && "$output" == *0:0* ]]
  chown -R 1234:1234 src; rm .dockerignore
  in_step '--mount=source=src,target=/c' 'stat -c %u:%g /c/a'; [[ "$output" == *0:0* ]]
}

@test "bind from the context with rw: what is written is lost" {
  mkdir src; echo old >src/f
  in_step '--mount=source=src,target=/c,rw' 'echo new > /c/f; touch /c/g; cat /c/f'
  [ "$status" -eq 0 ]; [[ "$output" == *new* ]]; [ "$(cat src/f)" = old ]; [ ! -e src/g ]
  [ "$(e run --rm --name acc-rw acc/step ls -a / | grep -c '^c$')" -eq 0 ]
}

@test "bind from a stage and an image: a part of it, read-only or with writes that are lost [MountRWCache]" {
  cat >Dockerfile <<'EOF'
FROM busybox AS made
RUN mkdir -p /out/sub && echo foo > /out/sub/foo && ln -s /out/sub /link && chown -R 7:8 /out
FROM busybox
RUN --mount=from=made,source=/link,target=/in cat /in/foo > /got; touch /in/x 2>/dev/null || echo readonly >> /got; stat -c %u:%g /in/foo >> /got
RUN --mount=from=made,src=out,target=/in,rw touch /in/bar /in/sub/baz && ls /in >> /got && echo changed > /in/sub/foo && cat /in/sub/foo >> /got
RUN --mount=from=made,source=/out/sub/foo,target=/one cat /one >> /got
RUN --mount=from=debian:bookworm,target=/deb cat /deb/etc/debian_version >> /got
COPY --from=made /out /out
EOF
  run build_plain --no-cache -t acc/bind .; [ "$status" -eq 0 ]
  run e run --rm --name acc-bind acc/bind sh -c 'cat /got; ls -A /out /out/sub; cat /out/sub/foo; ls -d /in /one /deb 2>&1'
  [[ "$output" == $'foo\nreadonly\n7:8\nbar\nsub\nchanged\nfoo\n12'* ]]
  [[ "$output" == *$'/out:\nsub\n\n/out/sub:\nfoo\nfoo\n'* ]]
  [ "$(grep -c 'No such file' <<<"$output")" -eq 3 ]
}

@test "bind from named contexts and from scratch" {
  mkdir other; echo named >other/f; printf 'FROM busybox\nRUN --mount=from=ctx,target=/c cat /c/f\nRUN --mount=from=img,target=/d cat /d/etc/debian_version\nRUN --mount=from=scratch,target=/e,rw touch /e/x && ls /e\n' >Dockerfile
  run build_plain --no-cache --build-context ctx=other --build-context img=docker-image://debian:bookworm -t acc/ctx .
  [ "$status" -eq 0 ]; [[ "$output" == *' named'* && "$output" == *' 12'* && "$output" == *' x'* ]]
}

@test "a bind's cache follows its content, not the way it came about [MountRWCache, MountDuplicate]" {
  cat >Dockerfile <<'EOF'
FROM busybox AS made
COPY bust /
RUN mkdir out && echo foo > out/foo && touch -d @1 out/foo out
FROM busybox
RUN --mount=from=made,src=out,target=/out,rw touch /out/bar && head -c 100 /dev/urandom | sha256sum > /unique
RUN --mount=source=.,target=/tmp/test --mount=source=b,target=/tmp/b cat /tmp/test/a /tmp/b > /both
EOF
  echo 0 >bust; echo foo >a; echo bar >b; build_plain -t acc/bc . >log; one=$(e run --rm --name acc-bc acc/bc cat /unique)
  echo 1 >bust; echo updated >a; build_plain -t acc/bc . >log
  [ "$(e run --rm --name acc-bc acc/bc cat /unique)" = "$one" ]
  [ "$(e run --rm --name acc-bc acc/bc cat /both)" = $'updated\nbar' ]
}

@test "no source leads out of where it is from [CacheMountSourceEscape]" {
  echo OUTSIDE >"$BATS_TEST_TMPDIR/../outside-$$"; mkdir ctx; cd ctx
  ln -s "../outside-$$" up; ln -s /etc/hostname abs
  for src in ../outside-$$ up abs ../../../../etc/hostname; do
    in_step "--mount=source=$src,target=/x" 'cat /x'; [ "$status" -ne 0 ]; [[ "$output" != *OUTSIDE* && "$output" == *'not found'* ]]
  done
  printf 'FROM busybox AS evil\nRUN ln -s / /root-of && ln -s /../../../../etc /up && echo STAGE > /etc/hostname2\nFROM busybox\nRUN --mount=from=evil,source=/up,target=/x cat /x/hostname2; ls /x > /names\nRUN --mount=from=evil,source=/root-of,target=/y test -e /y/root-of\n' >Dockerfile
  run build_plain --no-cache -t acc/evil .; [ "$status" -eq 0 ]; [[ "$output" == *STAGE* ]]
  ! e run --rm --name acc-evil acc/evil cat /names | grep -qx shadow
  cat >Dockerfile <<'EOF'
FROM busybox
RUN --mount=type=cache,id=sourceescape,target=/cache mkdir -p /cache/sel && rm -rf /cache/sel && ln -s /etc /cache/sel
RUN --mount=type=cache,id=sourceescape,source=sel,target=/victim cat /victim/hostname
EOF
  run build_plain --no-cache -t acc/evil2 .; [ "$status" -ne 0 ]
  in_step '--mount=type=cache,id=../../../../x,target=/c' 'touch /c/here'; [ "$status" -eq 0 ]
  [ ! -e "${ESTIBA_ROOT:-/var/lib/estiba}/../x" ] && [ ! -e /x ]
}

@test "what mounts are put on leaves nothing in the layer, whatever a step does to it" {
  echo x >f
  cat >Dockerfile <<'EOF'
FROM busybox
RUN mkdir -p /real && ln -s /real /link && ln -s /dangling/deep /loose && chmod 751 /real
RUN --mount=target=/link/sub/ctx --mount=type=secret,id=s,target=/new/secret --mount=type=cache,target=/root/.cache/x --mount=type=tmpfs,target=/loose/t ls /real/sub/ctx /new /loose >/dev/null && stat -c %a /real /root > /modes
RUN --mount=type=tmpfs,target=/keep/mnt touch /keep/file /keep/mnt/gone
RUN --mount=target=/was/here ln -s /etc /was/link && mv /real /moved && ln -s /etc /real
EOF
  echo v >tok; run build_plain --no-cache --secret id=s,src=tok -t acc/stubs .; [ "$status" -eq 0 ]
  run e run --rm --name acc-stubs acc/stubs sh -c 'cat /modes; find /moved /keep /was /link /new /dangling /root 2>&1 | sort'
  [ "$output" = $'751\n700\n/keep\n/keep/file\n/link\n/moved\n/root\n/was\n/was/link\nfind: /dangling: No such file or directory\nfind: /new: No such file or directory' ]
  [ "$(stat -c %F /etc)" = directory ]
}

@test "cache: named by its target or id, with variables, owner and mode [CacheMountDefaultID, CacheMountUser, MountEnvVar, MountArg, MountMetaArg, MountEnvAcrossStages]" {
  cat >Dockerfile <<'EOF'
ARG META_PATH=/tmp/meta
FROM busybox AS stage1
ARG MNT_TYPE=cache
ARG META_PATH
ENV SOME_PATH=/mycache MNT_ID=acc-id
RUN --mount=type=cache,target=/mycache touch /mycache/foo
RUN --mount=type=cache,target=/mycache2 [ ! -f /mycache2/foo ]
RUN --mount=type=$MNT_TYPE,target=$SOME_PATH [ -f $SOME_PATH/foo ]
RUN --mount=type=cache,id=acc-meta,target=/tmp/meta touch /tmp/meta/foo
RUN --mount=type=cache,id=acc-meta,target=$META_PATH [ -f /tmp/meta/foo ]
RUN --mount=type=cache,id=acc-id,target=/abc touch /abc/foo
RUN --mount=type=cache,target=/own,uid=1001,gid=1002,mode=0751 [ "$(stat -c "%u %g %f" /own)" == "1001 1002 41e9" ]
FROM stage1
RUN --mount=type=cache,id=$MNT_ID,target=/other [ -f /other/foo ]
RUN --mount=type=cache,id=acc-id,target=/c,ro [ -f /c/foo ] && ! touch /c/bar 2>/dev/null
WORKDIR /w
RUN --mount=type=cache,target=rel touch rel/foo
WORKDIR /v
RUN --mount=type=cache,target=rel [ -f /v/rel/foo ]
RUN --mount=type=cache,id=acc-two,target=/a,sharing=locked --mount=type=cache,id=acc-two,target=/b,sharing=locked touch /a/x && [ -f /b/x ]
EOF
  e builder prune -af >/dev/null; run build_plain --no-cache -t acc/caches .; echo "$output"; [ "$status" -eq 0 ]
  [ "$(e run --rm --name acc-caches acc/caches sh -c 'ls -A /mycache /c /w /v 2>/dev/null | wc -l')" -le 3 ]
}

@test "cache: what it starts with comes from a stage; another start is another cache" {
  for text in one two; do
    cat >Dockerfile <<EOF
FROM busybox AS seed
RUN mkdir -p /s/d && echo $text > /s/d/f && chmod 700 /s
FROM busybox
RUN --mount=type=cache,id=acc-seed,from=seed,source=/s,target=/c cat /c/d/f > /got && echo more >> /c/d/f && stat -c %a /c >> /got
RUN --mount=type=cache,id=acc-seed,from=seed,source=/s,target=/c cat /c/d/f >> /got
EOF
    e builder prune -af >/dev/null; build_plain --no-cache -t acc/seed . >log
    [ "$(e run --rm --name acc-seed acc/seed cat /got | tr '\n' ' ')" = "$text 700 $text more " ]
  done
}

@test "cache: locked is one at a time, private never shared, nested ones in parallel [CacheMountParallel, CacheMountModeNoCache]" {
  cat >Dockerfile <<'EOF'
FROM busybox AS a
RUN --mount=type=cache,id=acc-l,target=/l,sharing=locked mkdir /l/in && sleep 1 && rmdir /l/in
RUN --mount=type=cache,id=acc-p,target=/p,sharing=private touch /p/in && sleep 1 && rm /p/in
RUN --mount=type=cache,target=/foo/bar --mount=type=cache,target=/foo/bar/baz echo 1
FROM busybox AS b
RUN --mount=type=cache,id=acc-l,target=/l,sharing=locked mkdir /l/in && sleep 1 && rmdir /l/in
RUN --mount=type=cache,id=acc-p,target=/p,sharing=private [ ! -e /p/in ] && touch /p/in && sleep 1 && rm /p/in
RUN --mount=type=cache,target=/foo/bar --mount=type=cache,target=/foo/bar/baz echo 2
FROM busybox
COPY --from=a /etc/passwd /1
COPY --from=b /etc/passwd /2
EOF
  run build_plain --no-cache -t acc/par .; [ "$status" -eq 0 ]
  printf 'FROM busybox\nARG FOO=abc\nRUN --mount=type=cache,id=acc-nc,target=/cache,mode=0773 touch /cache/$FOO && ls /cache | wc -l > /out\n' >Dockerfile
  build_plain --no-cache -t acc/nc . >log; first=$(e run --rm --name acc-nc acc/nc cat /out)
  build_plain --no-cache --build-arg FOO=def$RANDOM -t acc/nc . >log; [ "$(e run --rm --name acc-nc acc/nc cat /out)" -eq $((first + 1)) ]
}

@test "tmpfs: new each time, of a size, programs run in it [MountTmpfs, MountTmpfsSize]" {
  cat >Dockerfile <<'EOF'
FROM busybox
RUN --mount=target=/mytmp,type=tmpfs touch /mytmp/foo && cp /bin/busybox /mytmp/echo && /mytmp/echo runs && stat -c %a /mytmp > /mode
RUN [ ! -f /mytmp/foo ]
RUN --mount=type=tmpfs,target=/dev/shm,size=128m mount | grep /dev/shm > /size
EOF
  build_plain --no-cache -t acc/tmpfs . >log
  run e run --rm --name acc-tmpfs acc/tmpfs cat /mode /size; [[ "$output" == 1777* && "$output" == *size=131072k* ]]
}

@test "secrets: files and variables, their owner and mode, required ones [SecretFileParams, SecretAsEnviron, SecretAsEnvironWithFileMount, SecretRequiredWithoutValue]" {
  printf pw >tok
  cat >Dockerfile <<'EOF'
FROM busybox
ENV SECRET_ENV=foo
RUN --mount=type=secret,required=false,mode=741,uid=100,gid=102,target=/mysecret [ "$(stat -c "%u %g %f" /mysecret)" = "100 102 81e1" ] && [ "$(cat /mysecret)" = pw ]
RUN [ ! -e /mysecret ] && [ ! -e /run/secrets ]
RUN --mount=type=secret,id=mysecret [ "$(stat -c "%u %g %a" /run/secrets/mysecret)" = "0 0 400" ] && ! echo x 2>/dev/null > /run/secrets/mysecret
RUN --mount=type=secret,id=mysecret,env=SECRET_ENV [ "$SECRET_ENV" == "pw" ] && [ ! -f /run/secrets/mysecret ] || false
RUN --mount=type=secret,id=mysecret,target=/run/secrets/secret,env=SECRET_ENV [ "$SECRET_ENV" == "pw" ] && [ -f /run/secrets/secret ] || false
RUN --mount=type=secret,id=other [ ! -e /run/secrets/other ]
RUN [ "$SECRET_ENV" = foo ]
EOF
  run build_plain --no-cache --secret id=mysecret,src=tok -t acc/secret .; echo "$output"; [ "$status" -eq 0 ]
  [[ "$output" == *'[ "****" == "pw" ]'* ]]
  in_step '--mount=type=secret,required,id=mysecret' true; [ "$status" -ne 0 ]; [[ "$output" == *'secret mysecret: not found'* ]]
  ! grep -rqs --include='secret*' -x pw "${ESTIBA_ROOT:-/var/lib/estiba}/tmp"
}

@test "mounts that say nonsense are refused in BuildKit's words [MountInvalid, MountFromError]" {
  refused() { in_step "$1" true; [ "$status" -ne 0 ]; [[ "$output" == *"$2"* ]] || { echo "$output"; return 1; }; }
  refused '--mont=target=/mytmp,type=tmpfs' 'unknown flag: --mont (did you mean mount?)'
  refused '--mount=typ=tmpfs' "unexpected key 'typ' in 'typ=tmpfs' (did you mean type?)"
  refused '--mount=type=tmp' 'unsupported mount type "tmp" (did you mean tmpfs?)'
  refused '--mount=from=$ttt,type=cache,target=/tmp' "'from' doesn't support variable expansion, define alias stage instead"
  refused '--mount=type=cache' 'invalid mount target "/"'
  refused '--mount=source=nohay,target=/x' '"/nohay": not found'
  refused '--mount=from=nohay:1,target=/x' 'nohay:1: not found'
  refused '--mount=type=bind,target=/x,uid=3' 'uid not allowed for "bind" type mounts'
  refused '--mount=type=secret,source=a,id=b' "both source and id can't be set"
  refused '--mount=type=tmpfs,target=/x,sharing=locked' 'invalid cache sharing set for tmpfs mount'
  refused '--mount=type=cache,target=/x,sharing=lock' 'unsupported sharing value "lock" (did you mean locked?)'
  printf 'FROM busybox AS a\nRUN --mount=from=b,target=/x true\nFROM busybox AS b\nRUN true\n' >Dockerfile
  run build_plain --target a .; [ "$status" -ne 0 ]; [[ "$output" == *'stage needs to be defined before current command'* ]]
}

# fake_agent SOCKET LOG: an ssh agent with two keys that writes down what it is asked, one number a line.
fake_agent() {
  cat >agent.py <<'EOF'
import os, socket, struct, sys, threading
server = socket.socket(socket.AF_UNIX); server.bind(sys.argv[1]); server.listen(8)
log = open(sys.argv[2], "w", buffering=1)
def serve(c):
    f = c.makefile("rwb")
    while (head := f.read(4)) and len(head) == 4:
        body = f.read(struct.unpack(">I", head)[0]); log.write("%d\n" % body[0])
        answer = struct.pack(">BI", 12, 2) + b"\0\0\0\1k\0\0\0\1c" * 2 if body[0] == 11 else bytes([14]) + body[1:] if body[0] == 13 else bytes([6])
        f.write(struct.pack(">I", len(answer)) + answer); f.flush()
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
EOF
  python3 agent.py "$1" "$2" 3>&- & agent=$!
  wait_for 5 test -S "$1"
}
# ask TYPE: a Perl program that asks the agent of a step and prints the answer's type and length.
ask='ask() { perl -MIO::Socket::UNIX -e '"'"'$s = IO::Socket::UNIX->new($ENV{SSH_AUTH_SOCK}) or die "no agent: $!\n"; for (@ARGV) { print $s pack("NCa4", 5, $_, "data"); $s->flush; read($s, $h, 4); read($s, $b, unpack("N", $h)); print ord($b), ":", length($b), " " } print "\n"'"'"' "$@"; }'

@test "ssh: a step reaches the agent that --ssh names, and only lists keys and signs [SSHSocketParams, SSHFileDescriptorsClosed]" {
  fake_agent "$PWD/sock" "$PWD/log"
  printf '%s\n' "$ask" >ask
  cat >Dockerfile <<'EOF'
FROM debian:bookworm
RUN --mount=source=ask,target=/ask --mount=type=ssh,mode=741,uid=100,gid=102 [ "$(stat -c "%u %g %f" $SSH_AUTH_SOCK)" = "100 102 c1e1" ] && . /ask && for i in 1 2 3; do ask 11 13 17 19 22 27 13; done
RUN --mount=source=ask,target=/ask --mount=type=ssh,id=other,target=/agent,required [ "$SSH_AUTH_SOCK" = /agent ] && [ "$(stat -c "%u %g %a" /agent)" = "0 0 600" ] && . /ask && ask 11 & wait $! && echo done
RUN --mount=type=ssh,id=nohay [ ! -e /run/buildkit ]
RUN [ -z "$SSH_AUTH_SOCK" ] && [ ! -e /agent ] && [ ! -e /run/buildkit ]
EOF
  SSH_AUTH_SOCK=$PWD/sock run build_plain --no-cache --ssh default --ssh "other=$PWD/sock" -t acc/ssh .
  kill $agent; echo "$output"; [ "$status" -eq 0 ]
  [ "$(grep -c '12:25 14:5 5:1 5:1 5:1 5:1 14:5' <<<"$output")" -eq 3 ]
  [ "$(sort -n log | uniq -c | tr -s ' \n' ' ')" = ' 4 11 6 13 ' ]
}

@test "ssh: key files are served by an agent of the build's own, which ends with it" {
  command -v ssh-keygen >/dev/null && command -v ssh-agent >/dev/null || skip "needs OpenSSH's client"
  ssh-keygen -q -t ed25519 -N '' -f k1; ssh-keygen -q -t ed25519 -N '' -f k2; ssh-keygen -q -t ed25519 -N secret -f locked; chmod 644 k2
  printf '%s\n' "$ask" >ask
  printf 'FROM debian:bookworm\nRUN --mount=source=ask,target=/ask --mount=type=ssh,required . /ask && ask 11\n' >Dockerfile
  run build_plain --no-cache --ssh default=k1,k2 -t acc/ssh .; echo "$output"; [ "$status" -eq 0 ]; grep -Eq ' 12:[12][0-9][0-9]' <<<"$output"
  ! pgrep -f 'ssh-agent -a /tmp/estiba-ssh'; ! ls -d /tmp/estiba-ssh-* 2>/dev/null
  run build_plain --no-cache --ssh default=locked .; [ "$status" -ne 0 ]; [[ "$output" == *'failed to parse locked'* ]]
}

@test "ssh: what is not there is refused in BuildKit's words" {
  unset SSH_AUTH_SOCK
  in_step '--mount=type=ssh,required' true; [ "$status" -ne 0 ]; [[ "$output" == *'no SSH key "default" forwarded from the client'* ]]
  run build_plain --ssh default .; [ "$status" -ne 0 ]; [[ "$output" == *'invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set'* ]]
  run build_plain --ssh default=nohay .; [ "$status" -ne 0 ]; [[ "$output" == *'stat nohay: no such file or directory'* ]]
}

@test "--security and --network need to be granted; the sandbox is the default [RunSecurityDefault, RunSecuritySandbox, RunSecurityInsecure, InsecureDevicesWhitelist, RunNoNetwork, RunHostNetwork, RunDefaultNetwork]" {
  sandbox='[ "$(grep CapBnd /proc/self/status)" = "CapBnd:	00000000a80425fb" ] && [ ! -e /dev/fuse ] && ! mount -t tmpfs none /mnt 2>/dev/null'
  in_step '' "$sandbox && ip link show eth0"; [ "$status" -eq 0 ]
  in_step --security=sandbox "$sandbox"; [ "$status" -eq 0 ]
  in_step --security=insecure true; [ "$status" -ne 0 ]; [[ "$output" == *'entitlement security.insecure is not allowed'* ]]
  printf 'FROM busybox\nRUN --security=insecure [ "$(grep CapBnd /proc/self/status)" = "%s" ] && mkdir /m && mount -t tmpfs none /m && echo x >/m/x && [ -c /dev/kmsg ] && echo ok > /proc/self/comm\nRUN %s\n' "$(grep CapBnd /proc/self/status)" "$sandbox" >Dockerfile
  run build_plain --no-cache --allow security.insecure -t acc/sec .; echo "$output"; [ "$status" -eq 0 ]
  in_step --network=none '! ip link show eth0'; [ "$status" -eq 0 ]
  in_step --network=host true; [ "$status" -ne 0 ]; [[ "$output" == *'entitlement network.host is not allowed'* ]]
  printf 'FROM busybox\nRUN --network=host readlink /proc/self/ns/net > /net\n' >Dockerfile
  build_plain --no-cache --allow network.host -t acc/net . >log
  [ "$(e run --rm --name acc-net acc/net cat /net)" = "$(readlink /proc/self/ns/net)" ]
  printf 'FROM busybox\nRUN readlink /proc/self/ns/net > /net\nRUN --network=host readlink /proc/self/ns/net > /net2\nRUN --network=none ! ip link show eth0\n' >Dockerfile
  build_plain --no-cache --network host -t acc/net . >log   # [RunGlobalNetwork]
  [ "$(e run --rm --name acc-net acc/net sh -c 'cmp /net /net2 && cat /net')" = "$(readlink /proc/self/ns/net)" ]
  run build_plain --allow nohay .; [ "$status" -ne 0 ]; [[ "$output" == *'unknown entitlement nohay'* ]]
  in_step --device=vendor.com/dev true; [ "$status" -ne 0 ]; [[ "$output" == *'--device=vendor.com/dev: devices cannot be given'* ]]
}
