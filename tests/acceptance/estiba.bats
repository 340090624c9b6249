# What estiba does beyond the course, and what must not break it.
load lib

@test "build --explain names the file that changed, and what it cost where it stands" {
  printf 'FROM busybox\nADD config.txt /config.txt\nRUN echo one > /1\nRUN echo two > /2\n' >Dockerfile; echo uno >config.txt
  build_plain -t acc/ex . >log; echo dos >>config.txt
  run e build --progress=quiet --explain -t acc/ex .
  [ "$status" -eq 0 ]
  [[ "$output" == *'config.txt: content changed'* ]]
  [[ "$output" == *'`ADD config.txt /config.txt`: content changed; 2 later steps ran again, '*' s; at the end of the file it would have cost '*' s'* ]]
}

@test "build --explain names a changed mode, a new file, a changed argument and an earlier step" {
  printf 'FROM busybox\nARG V=1\nCOPY d /d\nRUN echo $V\n' >Dockerfile; mkdir d; echo a >d/a; chmod 644 d/a
  build_plain -t acc/ex2 . >log
  chmod 755 d/a; run e build --progress=quiet --explain -t acc/ex2 .; [[ "$output" == *'d/a: mode changed'* && "$output" == *'an earlier step changed'* ]]
  echo b >d/b; run e build --progress=quiet --explain -t acc/ex2 .; [[ "$output" == *'d/b: added'* ]]
  rm d/a; run e build --progress=quiet --explain -t acc/ex2 .; [[ "$output" == *'d/a: removed'* ]]
  run e build --progress=quiet --explain --build-arg V=2 -t acc/ex2 .; [[ "$output" == *'arg V changed from "1" to "2"'* ]]
}

@test "save and load keep the image bit for bit, plain and compressed" {
  printf 'FROM busybox\nRUN echo x > /x && ln /x /y && ln -s x /z && mkdir -m 700 /d\nCMD ["cat","/x"]\n' >Dockerfile; build_plain -t acc/sl . >log
  id=$(e image inspect -f '{{.Id}}' acc/sl)
  e save -o s.tar acc/sl; tar -tf s.tar | grep -qx manifest.json; tar -tf s.tar | grep -qx oci-layout
  e save acc/sl >s2.tar; cmp s.tar s2.tar
  for c in cat gzip 'zstd -q' xz; do
    e rmi -f acc/sl >/dev/null; e builder prune -af >/dev/null
    run sh -c "$c <s.tar | $ENGINE load"; [[ "$output" == *'Loaded image: acc/sl:latest'* ]]
    [ "$(e image inspect -f '{{.Id}}' acc/sl)" = "$id" ]; [ "$(e run --rm --name acc-sl acc/sl)" = x ]
  done
}

@test "a broken archive is refused and leaves nothing behind" {
  n=$(e images -aq | wc -l); head -c 100000 /dev/urandom >bad.tar; run e load -i bad.tar; [ "$status" -ne 0 ]
  e save busybox >b.tar; head -c $(($(stat -c %s b.tar) / 2)) b.tar >half.tar; run e load -i half.tar; [ "$status" -ne 0 ]
  run e import half.tar acc/half; [ "$status" -ne 0 ]
  [ "$(e images -aq | wc -l)" -eq "$n" ]
}

@test "a second commit of one container is again one layer with everything in it" {
  e run --name acc-2c busybox sh -c 'echo a >/a; rm /etc/group'; e commit acc-2c acc/first
  e start acc-2c; e wait acc-2c; e commit acc-2c acc/second
  [ "$(e image inspect -f '{{len .RootFS.Layers}}' acc/second)" -eq "$(e image inspect -f '{{len .RootFS.Layers}}' acc/first)" ]
  run e run --rm --name acc-2d acc/second sh -c 'cat /a; ls /etc/group'; [[ "$output" == *a* && "$output" == *'No such file'* ]]
}

@test "diff shows no mount point of the engine's own" {
  e run --name acc-df debian:bookworm bash -c 'echo 1 > /root/nuevo; rm /etc/issue; mkdir /dir; touch /dir/f'
  [ "$(e diff acc-df | sort -k2 | tr '\n' ';')" = 'A /dir;A /dir/f;C /etc;D /etc/issue;C /root;A /root/nuevo;' ]
}

@test "standard input of any size arrives whole; exit codes are passed on" {
  [ "$(head -c 50000000 /dev/zero | e run -i --rm --name acc-in busybox wc -c)" -eq 50000000 ]
  run e run --rm --name acc-c7 busybox sh -c 'exit 7'; [ "$status" -eq 7 ]
  run e run --rm --name acc-c126 busybox /etc; [ "$status" -eq 126 ]
  run -127 e run --rm --name acc-c127 busybox nohay
  run e run --rm --no-such-flag busybox true; [ "$status" -eq 125 ]
}

@test "isolation: capabilities, seccomp, masked paths, no descriptor and no host directory leaks in" {
  run e run --rm --name acc-is busybox sh -c 'grep -c "Seccomp:.*2" /proc/self/status; grep CapInh /proc/self/status; ls /proc/self/fd | wc -l; cat /proc/kcore | head -c 1 | wc -c; echo x > /proc/sys/kernel/domainname'
  [[ "$output" == *$'1\nCapInh:\t0000000000000000\n'* && "$output" == *'Read-only file system'* ]]
  run e run --rm --name acc-wd -w /proc/self/fd/8 busybox true; [ "$status" -ne 0 ]
  run e run --rm --name acc-mt busybox mount -t tmpfs x /mnt; [ "$status" -ne 0 ]
  run e run --rm --name acc-un busybox unshare -U true; [ "$status" -ne 0 ]
}

@test "a command that is killed leaves a store that is whole" {
  printf 'FROM busybox\nRUN sleep 0.3 && echo x > /x\nRUN sleep 5\n' >Dockerfile
  for delay in 0.02 0.1 0.3 0.5 0.8; do
    "$ENGINE" build -t acc/kill . >/dev/null 2>&1 & pid=$!; sleep $delay; kill -9 $pid; wait $pid || true
  done
  e system recover; run e system check; [ "$status" -eq 0 ]
  ! e image inspect acc/kill >/dev/null 2>&1
}

@test "what follows COPY --link depends on what lies below it as well" {
  echo same >file
  for base in one two; do
    printf 'FROM busybox\nRUN echo %s > /base\nCOPY --link file /file\nRUN cat /base /file > /both\n' $base >Dockerfile
    build_plain -t acc/link . >log
    [ "$(e run --rm --name acc-link acc/link cat /both | tr '\n' ' ')" = "$base same " ]
  done
}

@test "a terminal: the exit code comes through; the detach keys leave the container running" {
  for n in 1 2 3; do
    run script -qec "$ENGINE run --rm -it busybox sh -c 'exit 7'" /dev/null </dev/null
    [ "$status" -eq 7 ]
  done
  (sleep 1; printf '\020\021'; sleep 1) | timeout 20 script -qec "$ENGINE run -it --name acc-det busybox sh" /dev/null
  [ "$(e inspect -f '{{.State.Running}}' acc-det)" = true ]
  run bash -c "(sleep 1; printf '\020\021'; sleep 1) | timeout 20 script -qec '$ENGINE attach acc-det' /dev/null"
  [ "$status" -eq 1 ]; [[ "$output" == *'read escape sequence'* ]]
  run bash -c "(sleep 1; printf 'exit 5\n'; sleep 1) | timeout 20 script -qec '$ENGINE attach acc-det' /dev/null"
  [ "$status" -eq 5 ]
}
