# What a build gives besides an image: checks, outlines, files, archives.
load lib

@test "build --check shows each warning with its lines; exit code 1; skip= and the build argument silence it" {
  printf '# a comment\nFROM busybox as base\nENV a b\nCMD echo x\n' >Dockerfile
  run --separate-stderr e build --check .; [ "$status" -eq 1 ]
  [ "${lines[0]}" = 'Check complete, 3 warnings have been found!' ]
  [[ "$output" == *$'WARNING: FromAsCasing - https://docs.docker.com/go/dockerfile/rule/from-as-casing/\n\'as\' and \'FROM\' keywords\' casing do not match\nDockerfile:2\n--------------------\n   1 |     # a comment\n   2 | >>> FROM busybox as base\n'* ]]
  run --separate-stderr e build --call=check,ignorestatus=true .; [ "$status" -eq 0 ]
  run --separate-stderr e build --check --build-arg BUILDKIT_DOCKERFILE_CHECK=skip=all .; [ "$status" -eq 0 ]
  [ "$output" = 'Check complete, no warnings found.' ]
  sed -i '1s/.*/# check=skip=FromAsCasing,LegacyKeyValueFormat/' Dockerfile
  run --separate-stderr e build --check .; [ "${lines[0]}" = 'Check complete, 1 warning has been found!' ]
  run --separate-stderr e build --call=check,format=json .; [ "$status" -eq 1 ]
  [ "$(jq -r '.warnings[0].ruleName, .warnings[0].location.ranges[0].start.line' <<<"$output" | tr '\n' ' ')" = 'JSONArgsRecommended 4 ' ]
  [ "$(jq -r '.sources[0].data' <<<"$output" | base64 -d)" = "$(cat Dockerfile)" ]
}

@test "build --check knows the context's .dockerignore, checks all stages or the target, and reports what stops it" {
  printf 'FROM scratch AS one\nCOPY secret.txt /\nFROM scratch\nCMD x\n' >Dockerfile; echo secret.txt >.dockerignore
  run --separate-stderr e build --check .; [[ "$output" == *CopyIgnoredFile* && "$output" == *JSONArgsRecommended* ]]
  run --separate-stderr e build --check --target one .; [[ "$output" == *CopyIgnoredFile* && "$output" != *JSONArgsRecommended* ]]
  printf 'FROM scratch\nFOO\n' | { run --separate-stderr e build --check -; [ "$status" -eq 1 ]
    [[ "$stderr" == *$'ERROR: dockerfile parse error on line 2: unknown instruction: FOO (did you mean FROM?)\nDockerfile:2\n'* ]]; }
  mkdir d; mv Dockerfile d/Other; run --separate-stderr e build --check -f d/Other d; [[ "$output" == *$'\nd/Other:'* ]]
}

@test "a build lists its warnings at the end; with error=true it fails and tags nothing" {
  printf 'FROM busybox\nCMD echo x\n' >Dockerfile
  run build_plain -t acc/warn .; [ "$status" -eq 0 ]
  [[ "$output" == *$'#1 WARN: JSONArgsRecommended: '* ]]
  [[ "$output" == *$' 1 warning found (use docker --debug to expand):\n - JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals (line 2)' ]]
  run e build -q -t acc/warn .; [ "${#lines[@]}" -eq 1 ]
  sed -i '1i # check=error=true' Dockerfile
  run build_plain -t acc/fails .; [ "$status" -eq 1 ]
  [[ "$output" == *'ERROR: failed to solve: lint violation found for rules: JSONArgsRecommended' ]]
  ! e image inspect acc/fails >/dev/null 2>&1
}

@test "build --call=outline shows the target's arguments, secrets and agents; --call=targets the stages" {
  printf '# VERSION of the base\nARG VERSION=latest\n# base is the start\nFROM busybox:$VERSION AS base\nRUN --mount=type=secret,id=tok,required --mount=type=ssh true\n# release is the end\nFROM base AS release\nARG NAME\n' >Dockerfile
  run --separate-stderr e build -q --call=outline --build-arg NAME=ana .; [ "$status" -eq 0 ]
  [ "$output" = $'TARGET:      release\nDESCRIPTION: is the end\n\nBUILD ARG   VALUE    DESCRIPTION\nVERSION     latest   of the base\nNAME        ana      \n\nSECRET   REQUIRED\ntok      true\n\nSSH       REQUIRED\ndefault   ' ]
  run --separate-stderr e build -q --call=outline,format=json .; [ "$(jq -r '.args[0].value, .secrets[0].required' <<<"$output" | tr '\n' ' ')" = 'latest true ' ]
  run --separate-stderr e build -q --call=targets .; [ "$output" = $'TARGET            DESCRIPTION\nbase              is the start\nrelease (default) is the end' ]
  run --separate-stderr e build -q --call=targets,format=json .; [ "$(jq -r '.targets[1].base' <<<"$output")" = base ]
  run e build -q --call=nohay .; [ "$status" -eq 1 ]; [[ "$output" == *'unsupported request frontend.nohay'* ]]
  run e build -q --call=check,x=1 .; [[ "$output" == 'ERROR: invalid print field: x=1' ]]
}

sample() { # sample: a build of a few files of every kind
  printf 'FROM busybox AS b\nRUN mkdir -p /out/d && echo uno >/out/d/f && ln /out/d/f /out/d/g && ln -s /etc/passwd /out/l && touch -d "2020-02-02 02:02:02" /out/d/old && chown 5:6 /out/d/f && chmod 4750 /out/d/f\nFROM scratch\nCOPY --from=b /out /\nENV A=1\n' >Dockerfile
}

@test "-o DIR writes the files, owned by the caller, links and times kept, into what is there" {
  sample; mkdir out; echo there >out/mine; run --separate-stderr e build -q -o out .; [ "$status" -eq 0 ]; [ -z "$output" ]
  [ "$(cat out/d/f out/mine)" = $'uno\nthere' ]; [ "$(readlink out/l)" = /etc/passwd ]; [ out/d/f -ef out/d/g ]
  [ "$(stat -c '%a %u %g' out/d/f)" = "4750 $(id -u) $(id -g)" ]; [ "$(stat -c %Y out/d/old)" -eq "$(date -ud '2020-02-02 02:02:02' +%s)" ]
  e build -q --output type=local,dest=a/b .; [ -f a/b/d/f ]; [ "$(stat -c %a a/b)" = 700 ]
  ! e image inspect acc/none >/dev/null 2>&1
  n=$(e images -aq | wc -l); e build -q --no-cache -t acc/none -o out .; [ "$(e images -aq | wc -l)" -eq "$n" ]
}

@test "-o DIR never leaves the directory, whatever links are in it or in the build" {
  mkdir victim out; ln -s "$PWD/victim" out/d; ln -s "$PWD/victim/file" out/x
  printf 'FROM scratch\nCOPY src /\n' >Dockerfile; mkdir -p src/d; echo evil >src/d/evil; echo evil >src/x
  e build -q -o out .; [ -z "$(ls victim)" ]; [ "$(cat out/x)" = evil ]; [ ! -L out/x ]
  rm -r src out; mkdir src; ln -s "$PWD/victim" src/d; e build -q -o out .; [ -L out/d ]
  rm -r src; mkdir -p src/d; echo evil >src/d/evil; e build -q -o out .; [ -z "$(ls victim)" ]
}

@test "-o - and type=tar give the files as a tar with their owners; a failed build touches nothing" {
  sample; e build -q -o - . >t.tar; e build -q -o type=tar,dest=t2.tar .; cmp t.tar t2.tar
  [ "$(tar -tf t.tar | sort | tr '\n' ' ')" = 'd/ d/f d/g d/old l ' ]; tar -tvf t.tar | grep -q '5/6 .* d/f$'
  echo before >t3.tar; printf 'FROM busybox\nRUN exit 3\n' >bad; run e build -q -f bad -o type=tar,dest=t3.tar .; [ "$status" -eq 1 ]
  [ "$(cat t3.tar)" = before ]; [ -z "$(ls -- *.part 2>/dev/null)" ]
  run e build -q -f bad -o dir .; [ ! -e dir ]
  printf 'FROM scratch\n' >empty; e build -q -f empty -o type=tar,dest=e.tar .; [ -z "$(tar -tf e.tar)" ]
}

@test "type=oci and type=docker write archives that load to the same image; compression; tar=false" {
  sample; id=$(e build -q -t acc/ar .)
  for o in type=oci type=docker type=oci,compression=zstd type=docker,compression=uncompressed type=docker,oci-mediatypes=true; do
    e build -q -t acc/ar -o $o,dest=a.tar . >id; [ "$(cat id)" = "$id" ]
    e rmi -f acc/ar >/dev/null; e builder prune -af >/dev/null; run e load -i a.tar; [ "$output" = 'Loaded image: acc/ar:latest' ]
    [ "$(e image inspect -f '{{.Id}}' acc/ar)" = "$id" ] || { e image inspect acc/ar; false; }
    # rebuilt from nothing, times differ: what follows compares with the image that is built now
    id=$(e build -q -t acc/ar .)
  done
  e build -q -t acc/ar -o type=oci,dest=o.tar .; run tar -tf o.tar; [[ "$output" != *manifest.json* && "$output" == *index.json* ]]
  [ "$(tar -xOf o.tar index.json | jq -r '.manifests[0].annotations["io.containerd.image.name"]')" = docker.io/acc/ar:latest ]
  e build -q -o type=docker,name=acc/attr,dest=d.tar .; [ "$(tar -xOf d.tar manifest.json | jq -r '.[0].RepoTags[0]')" = acc/attr:latest ]
  tar -xOf d.tar "blobs/sha256/$(tar -xOf d.tar index.json | jq -r '.manifests[0].digest' | cut -d: -f2)" | grep -q 'docker.image.rootfs.diff.tar.gzip'
  e build -q -o type=oci,tar=false,dest=lay .; [ -f lay/oci-layout ]; run e build -q -o type=oci,tar=false,dest=lay .; [ "$status" -eq 1 ]
  e build -q -t acc/two -o type=image -o type=oci,dest=two.tar -o files .; e image inspect acc/two >/dev/null; [ -s two.tar ]; [ -f files/d/f ]
}

@test "annotations, --metadata-file, --iidfile, --quiet" {
  sample; run e build -q -t acc/md --iidfile id --metadata-file md.json .; [ "$(cat id)" = "$output" ]
  [ "$(jq -r '.["containerimage.config.digest"], .["image.name"]' md.json | tr '\n' ' ')" = "$output docker.io/acc/md:latest " ]
  e build -q --annotation a=1 --annotation 'manifest-descriptor[linux/amd64]:d=2' --annotation 'manifest[linux/arm64]:no=3' -o 'type=oci,dest=a.tar,annotation.c=4' --metadata-file md.json . >/dev/null
  m=$(jq -r '.["containerimage.digest"]' md.json); [ "$(tar -xOf a.tar "blobs/sha256/${m#*:}" | jq -c .annotations)" = '{"a":"1","c":"4"}' ]
  [ "$(tar -xOf a.tar index.json | jq -r '.manifests[0].annotations.d')" = 2 ]
  e build -q --annotation k=v -t acc/an . >/dev/null; e save acc/an >an.tar
  [ "$(tar -xOf an.tar "blobs/sha256/$(tar -xOf an.tar index.json | jq -r '.manifests[0].digest' | cut -d: -f2)" | jq -c .annotations)" = '{"k":"v"}' ]
  run e build -q --annotation index:a=1 -o type=oci,dest=a.tar .; [[ "$output" == *'index annotations not supported for single platform export'* ]]
  run e build -q --annotation a .; [ "$output" = 'ERROR: parse annotations: invalid annotation "a", expected key=value' ]
  echo old >id; run e build -q --iidfile id -f nohay .; [ ! -e id ]
  run e build -q --iidfile id -o out .; [ "$output" = 'ERROR: local and tar exporters are incompatible with image ID file' ]
}

@test "outputs that cannot be are refused before anything is built" {
  sample; touch file
  while IFS='|' read -r flags message; do
    run e build -q $flags .; [ "$status" -eq 1 ] || { echo "$flags"; false; }; [[ "$output" == "ERROR: "*"$message"* ]] || { echo "$flags: $output"; false; }
  done <<'F'
-o type=local|dest is required for local exporter
-o type=local,dest=-|dest cannot be stdout for local exporter
-o file|destination directory file is a file
-o type=tar,dest=.|destination file . is a directory
-o type=nohay|exporter "nohay" could not be found
-o dest=x,a=b|type is required for output
-o type=registry,name=x|pushing is not supported yet
-o type=image,push=true|pushing is not supported yet
-o type=oci,dest=x,rewrite-timestamp=true|rewrite-timestamp=true is not supported yet
-o type=oci,dest=x,compression=lz4|unsupported compression type lz4
-o - -o type=oci|multiple outputs configured to write to stdout
--sbom=true|attestations are not supported yet: type=sbom
--provenance=mode=max|attestations are not supported yet: type=provenance,mode=max
--cache-to type=local,dest=c|--cache-to type=local: the cache cannot be exported yet
--cache-from type=gha|--cache-from type=gha is not supported yet
--platform linux/amd64,linux/arm64|several platforms in one build are not supported yet
--no-cache --no-cache-filter x|--no-cache and --no-cache-filter cannot currently be used together
F
  [ ! -e x ]; e build -q --sbom=false --provenance=false --attest type=sbom,disabled=true -o type=cacheonly .
  run build_plain --cache-from acc/nohay .; [ "$status" -eq 0 ]; [[ "$output" == *'WARN: --cache-from acc/nohay has no effect'* ]]
}

@test "--squash makes one layer above the base; history keeps its entries, empty" {
  printf 'FROM busybox\nRUN echo a >/a; rm /etc/group\nRUN rm /a; echo b >/b\nCMD ["cat","/b"]\n' >Dockerfile
  n=$(e image inspect -f '{{len .RootFS.Layers}}' busybox); h=$(e history -q busybox | wc -l)
  id=$(e build -q -t acc/plain .); e build -q --squash -t acc/sq .
  [ "$(e image inspect -f '{{len .RootFS.Layers}}' acc/sq)" -eq $((n + 1)) ]; [ "$(e history -q acc/sq | wc -l)" -eq $((h + 4)) ]
  [ "$(e run --rm --name acc-sq acc/sq)" = b ]; run e run --rm --name acc-sq2 acc/sq ls /a /etc/group; [ "$status" -ne 0 ]
  e history --no-trunc acc/sq | grep -q "merge $id to $(e image inspect -f '{{.Id}}' busybox)"
  e save acc/sq >s.tar; e rmi -f acc/sq >/dev/null; e load -i s.tar; run e system check; [ "$status" -eq 0 ]
  printf 'FROM scratch\nCOPY Dockerfile /1\nCOPY Dockerfile /2\n' >Dockerfile; e build -q --squash -t acc/sq .; [ "$(e image inspect -f '{{len .RootFS.Layers}}' acc/sq)" -eq 1 ]
}

@test "--platform: scratch takes it, files are copied, a base of another platform is asked for by name" {
  printf 'FROM scratch\nARG TARGETPLATFORM\nLABEL p=$TARGETPLATFORM\nCOPY Dockerfile /\n' >Dockerfile
  e build -q --platform linux/arm64 -t acc/arm . ; [ "$(e image inspect -f '{{.Os}}/{{.Architecture}} {{.Config.Labels.p}}' acc/arm)" = 'linux/arm64 linux/arm64' ]
  e build -q --platform linux/arm/v6 -t acc/arm6 .; [ "$(e image inspect -f '{{.Architecture}}/{{.Variant}}' acc/arm6)" = arm/v6 ]
  printf 'FROM acc/arm\nCOPY Dockerfile /b\n' >b; e build -q --platform linux/arm64 -f b -t acc/arm2 .; [ "$(e image inspect -f '{{.Architecture}}' acc/arm2)" = arm64 ]
  printf 'FROM busybox\nRUN true\n' >c; run e build -q --platform linux/arm64 -f c .; [ "$status" -eq 1 ]
  [[ "$output" == *'image with reference busybox was found but does not match the specified platform: wanted linux/arm64, actual: linux/amd64'* ]]
  printf 'FROM --platform=$BUILDPLATFORM busybox AS b\nRUN echo $(uname -m) >/m\nFROM scratch\nCOPY --from=b /m /\n' >d; e build -q --platform linux/arm64 -f d -o out .; [ "$(cat out/m)" = "$(uname -m)" ]
  printf '\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\2\0\267\0\1\0\0\0' >sh; head -c 40 /dev/zero >>sh; chmod +x sh
  printf 'FROM scratch\nCOPY sh /bin/sh\nRUN true\n' >f; run e build -q --platform linux/arm64 -f f .; [ "$status" -eq 1 ]; [[ "$output" == *'exec format error'* ]]
  run e build -q --pull -f c .; [ "$status" -eq 1 ]; [[ "$output" == *'busybox: --pull: pulling is not supported yet'* ]]; e build -q --pull .
}

# serve_git DIR: the repositories below DIR on git://127.0.0.1:$GIT_PORT; ended by teardown.
serve_git() {
  GIT_PORT=$((20000 + RANDOM % 20000))
  git daemon --export-all --base-path="$1" --listen=127.0.0.1 --port=$GIT_PORT --reuseaddr --pid-file="$PWD/git.pid" "$1" >/dev/null 2>&1 3>&- &
  wait_for 5 git ls-remote "git://127.0.0.1:$GIT_PORT/repo.git"
}

# serve_http: the present directory on http://127.0.0.1:$HTTP_PORT; ended by teardown.
serve_http() {
  HTTP_PORT=$((20000 + RANDOM % 20000)); python3 -m http.server -b 127.0.0.1 $HTTP_PORT >/dev/null 2>&1 3>&- & echo $! >http.pid
  wait_for 5 curl -fs "http://127.0.0.1:$HTTP_PORT/"
}

teardown() {
  local f; for f in git.pid http.pid; do [ ! -f "$BATS_TEST_TMPDIR/$f" ] || kill "$(cat "$BATS_TEST_TMPDIR/$f")" 2>/dev/null || true; done
  sweep
}

make_repo() { # make_repo: srv/repo.git with a Dockerfile at its top (tag v1) and another below dir/ (branch other)
  git init -q -b main srv/repo.git; cd srv/repo.git; git config user.email a@b; git config user.name a
  printf 'FROM scratch\nCOPY . /\n' >Dockerfile; echo top >f; mkdir dir; printf 'FROM scratch\nCOPY . /\n' >dir/Dockerfile; echo below >dir/g
  ln -s /etc out; git add .; git commit -qm 1; git tag v1; git checkout -qb other; echo other >dir/g; git commit -qam 2; git checkout -q main; cd ../..
}

@test "a repository as the context: ref and subdirectory, in the fragment or in the query" {
  make_repo; serve_git "$PWD/srv"; u=git://127.0.0.1:$GIT_PORT/repo.git
  e build -q -o o1 "$u"; [ "$(cat o1/f)" = top ]; [ ! -e o1/.git ]
  e build -q -o o2 "$u#v1:dir"; [ "$(cat o2/g)" = below ]; [ ! -e o2/f ]
  e build -q -o o3 "$u?branch=other&subdir=dir"; [ "$(cat o3/g)" = other ]
  e build -q -o o4 "$u?ref=v1&keep-git-dir=true"; [ -d o4/.git ]
  e build -q --build-arg BUILDKIT_CONTEXT_KEEP_GIT_DIR=1 -o o5 "$u"; [ -d o5/.git ]
  e build -q -o o6 "$u?checksum=$(git -C srv/repo.git rev-parse main)"; [ -f o6/f ]
  run e build -q "$u?checksum=0123456"; [ "$status" -eq 1 ]; [[ "$output" == *'expected checksum to match 0123456, got '* ]]
  run e build -q "$u#main:nohay"; [ "$status" -eq 1 ]; [[ "$output" == *'subdir nohay not found in git://'* ]]
  run e build -q "$u#main:out"; [ "$status" -eq 1 ]
  run e build -q "$u?x=1"; [[ "$output" == *'unexpected query "x"'* ]]
  printf 'FROM scratch\nADD %s#main:dir /a/\n' "$u" >Dockerfile; e build -q -o o7 .; [ "$(cat o7/a/g)" = below ]
  printf 'FROM scratch\nADD %s#main:out /a/\n' "$u" >Dockerfile; run e build -q -o o8 .; [ ! -e o8/a/passwd ]
}

@test "a Dockerfile, a tar and a file from a URL" {
  mkdir ctx; echo here >ctx/f; printf 'FROM scratch\nCOPY f /\n' >Remote; printf 'FROM scratch\nCOPY f /fromtar\n' >ctx/Dockerfile
  tar -czf c.tar.gz -C ctx .; serve_http; u=http://127.0.0.1:$HTTP_PORT
  e build -q -f "$u/Remote" -o o1 ctx; [ "$(cat o1/f)" = here ]
  run e build -q -f "$u/nohay" ctx; [ "$status" -eq 1 ]; [[ "$output" == "ERROR: failed to load $u/nohay: 404 "* ]]
  e build -q -o o2 "$u/c.tar.gz"; [ "$(cat o2/fromtar)" = here ]
  printf 'FROM scratch\nCOPY --from=web context /c\n' >ctx/Dockerfile; e build -q --build-context web="$u/Remote" -o o3 ctx; cmp o3/c Remote
}

@test "--build-context: directories, images, repositories, OCI layouts, in FROM, COPY and mounts" {
  mkdir -p ctx src/sub; echo one >src/sub/f; echo no >src/left; echo left >src/.dockerignore
  printf 'FROM scratch\nCOPY --from=src . /\n' >ctx/Dockerfile; e build -q --build-context src=src -o o1 ctx; [ "$(cat o1/sub/f)" = one ]; [ ! -e o1/left ]
  printf 'FROM src\nENV A=1\nCOPY Dockerfile /d\n' >ctx/Dockerfile; e build -q --build-context src=src -t acc/fromdir -o o2 -o type=image ctx; [ "$(cat o2/sub/f)" = one ]
  [ "$(e image inspect -f '{{len .RootFS.Layers}}' acc/fromdir)" -eq 2 ]
  printf 'FROM busybox\nRUN --mount=from=src,target=/m cat /m/sub/f >/out\n' >ctx/Dockerfile; e build -q --build-context src=src -o o3 ctx; [ "$(cat o3/out)" = one ]
  printf 'FROM docker.io/library/alpine:latest\nRUN echo x >/x\n' >ctx/Dockerfile; e build -q --build-context alpine=docker-image://busybox -t acc/other ctx
  printf 'FROM base AS base\nCOPY Dockerfile /\n' >ctx/Dockerfile; e build -q --build-context base=docker-image://scratch -o o4 ctx; [ "$(ls o4)" = Dockerfile ]
  e build -q --build-context busybox=docker-image://busybox -t acc/lay:1 -o type=oci,tar=false,dest=lay - <<<$'FROM busybox\nRUN echo lay >/lay\nENV L=1'
  printf 'FROM lay\nRUN cat /lay >/copy; echo $L >>/copy\n' >ctx/Dockerfile
  e build -q --build-context lay=oci-layout://$PWD/lay -o o5 ctx; [ "$(cat o5/copy)" = $'lay\n1' ]
  e build -q --build-context lay=oci-layout://lay:1 -o o6 ctx; [ -f o6/copy ]
  e build -q --build-context "lay=oci-layout://lay@$(jq -r '.manifests[0].digest' lay/index.json)" -o o7 ctx; [ -f o7/copy ]
  m=$(jq -r '.manifests[0].digest' lay/index.json); l=$(jq -r '.layers[-1].digest' "lay/blobs/sha256/${m#*:}")
  e rmi -f acc/lay:1 >/dev/null 2>&1 || true; e builder prune -af >/dev/null; echo x | gzip >"lay/blobs/sha256/${l#*:}"
  run e build -q --build-context lay=oci-layout://lay -o o9 ctx; [ "$status" -eq 1 ]; [ ! -e o9 ]
  make_repo; serve_git "$PWD/srv"; printf 'FROM scratch\nCOPY --from=repo dir/g /\n' >ctx/Dockerfile
  e build -q --build-context "repo=git://127.0.0.1:$GIT_PORT/repo.git#other" -o o8 ctx; [ "$(cat o8/g)" = other ]
  run e build -q --build-context x=nohay ctx; [ "$status" -eq 1 ]; [[ "$output" == *'failed to get build context x: stat nohay'* ]]
  run e build -q --build-context x=ctx/Dockerfile ctx; [[ "$output" == *'not a directory'* ]]
  run e build -q --build-context x=target:y ctx; [[ "$output" == *'unsupported context source target for x'* ]]
  run e build -q --build-context x ctx; [ "$output" = 'ERROR: invalid context value: x, expected key=value' ]
}
