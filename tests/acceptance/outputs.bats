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
