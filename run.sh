#!/usr/bin/env bash
# ./run.sh         set up (once), then the main job: ICQ-MA and BC-MA on recorded battles
# ./run.sh test    set up (once), then the tests
# ./run.sh check   ruff and pyright
# ./run.sh docker GPU CMD...  CMD in the Docker image, GPU 0, 0,1, all or cpu (docs/starcraft.md)
# SEED=2 ./run.sh  another seed;  PYTHON=/path/to/python3.11 ./run.sh  another Python
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

find_python() {
    local python
    for python in "${PYTHON:-}" python3.11 python3.12 python3; do
        if [ -n "$python" ] && "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
            echo "$python"
            return
        fi
    done
    echo "run.sh needs Python 3.11 or later with venv and pip; install it (Debian: python3.11-venv) or set PYTHON=/path/to/python3.11" >&2
    return 1
}

# setup EXTRAS: make .venv and install what pyproject.toml and constraints.txt say, unless done.
# It must not stand left of && or ||, where bash would go on after an error.
setup() {
    local wanted python stamp=.venv/.installed
    exec 9> .setup.lock
    if command -v flock > /dev/null; then flock 9; fi
    wanted="$(cat pyproject.toml constraints.txt | cksum) "
    if ! grep -qsF -e "$wanted$1" -e "${wanted}smax,d4rl,gymma,pettingzoo,vault,dev" "$stamp"; then
        echo "Setting up .venv (once; a few minutes)..."
        if ! .venv/bin/python -m pip --version > /dev/null 2>&1; then
            python=$(find_python)
            rm -rf .venv
            "$python" -m venv .venv
        fi
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
            -c constraints.txt -e ".[$1]"
        .venv/bin/python -W ignore -m compileall -qq -j "$(nproc 2> /dev/null || echo 1)" \
            .venv/lib || true # pip would use one core
        echo "$wanted$1" > "$stamp"
    fi
    exec 9>&-
}

run() {
    .venv/bin/python src/main.py "$@"
}

main_job() {
    local seed=${SEED:-1} out background
    out="results/first_run/$(date +%Y-%m-%d_%H-%M-%S)_seed$seed"
    local common=(--env-config=smax with "seed=$seed" dataset_quality=medium "local_results_path=$out")
    mkdir -p "$out"
    echo "Learning from recorded battles (SMAX 3s_vs_3z, level medium), seed $seed."
    echo "BC-MA learns in the background ($out/bc.log), ICQ-MA in front:"
    set -m # a process group of its own, so that all of it ends with this script
    {
        run --config=script --env-config=smax with "seed=$seed" "local_results_path=$out" \
            test_nepisode=512 && run --config=bc "${common[@]}"
    } > "$out/bc.log" 2>&1 &
    background=$!
    set +m
    # shellcheck disable=SC2064 # expanded now, since the trap runs outside this function
    trap "kill -- -$background 2> /dev/null || true" EXIT
    run --config=icq "${common[@]}"
    echo "Waiting for BC-MA..."
    if ! wait "$background"; then
        tail -n 5 "$out/bc.log" >&2
        return 1
    fi
    trap - EXIT
    echo
    .venv/bin/python src/report.py "$out" --csv "$out/table.csv" --picture "$out/curves.png"
    cat << END

Learning curves   $out/curves.png
Numbers           $out/metrics/*.csv, the table's rows in $out/table.csv
Sacred records    $out/sacred, checkpoints in $out/models
Try next          .venv/bin/python src/main.py --config=icq --env-config=smax with env_args.map_name=2s3z dataset_quality=medium
                  .venv/bin/python src/dataset.py inspect offline_data/smax/3s_vs_3z/medium.h5
END
}

# in_docker GPU CMD...: CMD in the image, with this checkout at /icq-marl, as whoever calls.
in_docker() {
    local gpu=${1:-} image=${ICQ_IMAGE:-icq-marl:latest} extra name
    local options=(--rm --init --user "$(id -u):$(id -g)" --volume "$PWD:/icq-marl" --workdir /icq-marl)
    if [[ ! $gpu =~ ^(cpu|all|[0-9]+(,[0-9]+)*)$ ]] || [ $# -lt 2 ]; then
        echo "./run.sh docker GPU CMD...: GPU is an index, several (0,1), all or cpu; CMD is, say, python src/main.py --help" >&2
        return 2
    fi
    if ! command -v docker > /dev/null; then
        echo "run.sh docker needs Docker, which is not here; docs/starcraft.md has ways without it" >&2
        return 1
    fi
    if ! docker version > /dev/null 2>&1; then
        echo "run.sh docker: $(docker version 2>&1 > /dev/null | tail -n 1)" >&2
        return 1
    fi
    if ! docker image inspect "$image" > /dev/null 2>&1; then
        echo "run.sh docker: there is no image $image yet; docker/build.sh makes it (docs/starcraft.md)" >&2
        return 1
    fi
    case "$gpu" in
        cpu) ;;
        all) options+=(--gpus all) ;;
        *) options+=(--gpus "\"device=$gpu\"") ;;
    esac
    if [ -n "${ICQ_DATABASE:-}" ]; then options+=(--env ICQ_DATABASE); fi
    if [ -t 0 ] && [ -t 1 ]; then options+=(--interactive --tty); fi
    read -ra extra <<< "${DOCKER_OPTIONS:-}"
    name=${USER:-$(id -u)}_icq_gpu_${gpu}_$(date +%m-%d_%H-%M-%S)_$RANDOM
    name=${name//[!a-zA-Z0-9_.-]/-}
    echo "Container $name" >&2
    exec docker run --name "$name" "${options[@]}" "${extra[@]}" "$image" "${@:2}"
}

case "${1:-main}" in
    main)
        setup smax
        main_job
        ;;
    test)
        setup smax,d4rl,gymma,pettingzoo,vault,dev
        .venv/bin/python -m pytest -n 2 --dist loadfile "${@:2}"
        ;;
    check)
        setup smax,d4rl,gymma,pettingzoo,vault,dev
        .venv/bin/ruff check .
        .venv/bin/ruff format --check .
        .venv/bin/pyright
        ;;
    docker)
        in_docker "${@:2}"
        ;;
    *)
        sed -n '2,6s/^# //p' run.sh
        exit 2
        ;;
esac
